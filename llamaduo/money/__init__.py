"""What things cost, and when moving pays back."""
