"""Services of any long-running program to its user, and nothing of LLMs."""
