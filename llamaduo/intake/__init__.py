"""What comes in from a service or a log, read in one place: so far the answers of services."""
