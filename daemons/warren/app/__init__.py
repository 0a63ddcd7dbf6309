"""The one place where settings become a Celery app."""
