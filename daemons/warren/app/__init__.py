"""The Celery app of the settings, with its queues and routes."""
