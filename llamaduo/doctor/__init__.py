"""The doctor: checks what this machine has, and what each choice still needs to run here."""
