"""The reports in the database."""

import uuid

from django.db import models


class Report(models.Model):
    """A report. Its task has the same id, so the page can ask for the task's state."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    rows = models.PositiveIntegerField()
    file = models.FileField(blank=True)
    created = models.DateTimeField(auto_now_add=True)
