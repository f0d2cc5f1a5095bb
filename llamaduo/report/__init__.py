"""`python -m llamaduo.report`, and the report that a run ends with."""
