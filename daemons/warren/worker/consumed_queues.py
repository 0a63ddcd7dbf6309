"""The queues from which a worker takes messages.

A quota pauses a queue for a while. Remote control cancels a queue until remote control adds the
queue again.
"""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer


class TakenQueues(CeleryConsumer):
    """Celery's consumer. It also knows why it does not take messages from a queue."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        #: Queues that remote control has cancelled while the worker ran (`celery control
        #: cancel_consumer`). The end of a pause does not resume them.
        self.withdrawn: set[str] = set()
        super().__init__(*arguments, **options)

    def pause_task_queue(self, queue: str) -> None:
        """Stop consuming the queue for now; the worker will resume it."""
        super().cancel_task_queue(queue)

    def cancel_task_queue(self, queue: str) -> None:
        """Stop consuming the queue, by remote control."""
        self.withdrawn.add(queue)
        # The connection was lost meanwhile. The worker will not consume the queue over the next
        # connection.
        if self.task_consumer is None:
            self.app.amqp.queues.deselect(queue)
        else:
            super().cancel_task_queue(queue)

    def add_task_queue(self, queue: str, *arguments: Any, **options: Any) -> None:
        """Consume the queue."""
        self.withdrawn.discard(queue)
        super().add_task_queue(queue, *arguments, **options)
