"""What a command does to a running suite."""
