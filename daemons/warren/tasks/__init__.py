"""The interface for authors of tasks."""
