"""Celery's worker within a process of Warren's: it sends what Celery's own program would, for those
who listen.
"""

from __future__ import annotations

from typing import Any

from celery import signals
from celery.worker import WorkController


class Controller(WorkController):
    """Celery's part of a worker.

    Each signal comes with the arguments that Celery documents for it.
    """

    def on_before_init(self, **options: Any) -> None:
        """Tells who sets up workers by their name, before the settings are read."""
        signals.celeryd_init.send(
            sender=self.hostname, instance=self, conf=self.app.conf, options=options
        )

    def on_start(self) -> None:
        """Tells who wants to see the worker with its queues, before it connects."""
        super().on_start()
        signals.celeryd_after_setup.send(sender=self.hostname, instance=self, conf=self.app.conf)

    def on_consumer_ready(self, consumer: Any) -> None:
        """Tells that the worker takes messages, when it does so for the first time."""
        signals.worker_ready.send(sender=consumer)

    def shutting_down(self) -> None:
        """Tells that the worker takes nothing more and waits for its tasks."""
        signals.worker_shutting_down.send(
            sender=self.hostname, sig="SIGTERM", how="Warm", exitcode=0
        )
