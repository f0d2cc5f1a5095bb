"""The cost decision, service LLM against local LLM: its command, texts, tables and picture."""
