"""What authors of tasks import."""
