"""Which of its queues a worker takes from.

A quota pauses a queue for a while; remote control cancels a queue until it adds it again.
"""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer


class TakenQueues(CeleryConsumer):
    """Celery's consumer, which knows why it does not take from a queue."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        #: Queues that were cancelled while the worker ran (`celery control cancel_consumer`): the
        #: end of a pause resumes none of them.
        self.withdrawn: set[str] = set()
        super().__init__(*arguments, **options)

    def pause_task_queue(self, queue: str) -> None:
        """Stop consuming the queue for now: it stays this worker's."""
        super().cancel_task_queue(queue)

    def cancel_task_queue(self, queue: str) -> None:
        """Stop consuming the queue, by remote control."""
        self.withdrawn.add(queue)
        # The connection was lost meanwhile: the next one does not consume the queue.
        if self.task_consumer is None:
            self.app.amqp.queues.deselect(queue)
        else:
            super().cancel_task_queue(queue)

    def add_task_queue(self, queue: str, *arguments: Any, **options: Any) -> None:
        """Consume the queue."""
        self.withdrawn.discard(queue)
        super().add_task_queue(queue, *arguments, **options)
