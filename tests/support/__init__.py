"""What several tests share: stand-ins, small data, and how a command is called."""
