"""Celery's worker within a process of Warren's.

It sends the signals that Celery's own program would send, because task modules may have connected
receivers to them.
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
        """Send celeryd_init to receivers that set workers up by name, before settings are read."""
        signals.celeryd_init.send(
            sender=self.hostname, instance=self, conf=self.app.conf, options=options
        )

    def on_start(self) -> None:
        """Send celeryd_after_setup, with the worker and its queues, before it connects."""
        super().on_start()
        signals.celeryd_after_setup.send(sender=self.hostname, instance=self, conf=self.app.conf)

    def on_consumer_ready(self, consumer: Any) -> None:
        """Send worker_ready when the worker takes messages for the first time."""
        signals.worker_ready.send(sender=consumer)

    def shutting_down(self) -> None:
        """Send worker_shutting_down: the worker takes nothing more and waits for its tasks."""
        signals.worker_shutting_down.send(
            sender=self.hostname, sig="SIGTERM", how="Warm", exitcode=0
        )
