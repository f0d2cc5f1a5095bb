"""`python -m llamaduo.cost`: the decision as text, table and picture."""
