"""What any long-running program owes its user, and nothing of LLMs."""
