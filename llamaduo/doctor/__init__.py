"""`python -m llamaduo.doctor`: what this machine has, and what the choices still need."""
