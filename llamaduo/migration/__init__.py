"""The loop, and its plan before it runs."""
