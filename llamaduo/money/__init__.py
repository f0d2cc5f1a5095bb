"""Costs of a service and of machines, and when moving from one to the other pays back."""
