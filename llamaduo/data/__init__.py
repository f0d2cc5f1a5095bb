"""Shipped data, and the tool that keys its recordings."""
