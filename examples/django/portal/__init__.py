"""A portal of Django, whose reports are made by tasks."""

from portal.celery import app as celery_app

__all__ = ["celery_app"]
