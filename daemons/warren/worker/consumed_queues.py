"""Which of its queues a worker takes from: a quota pauses one for a while, remote control cancels
one until it says otherwise.
"""

from __future__ import annotations

from typing import Any, ClassVar

from celery.worker.consumer import Consumer as CeleryConsumer


class TakenQueues(CeleryConsumer):
    """Celery's consumer, which knows why it does not take from a queue."""

    #: Queues taken from this worker as it ran (`celery control cancel_consumer`): the end of a
    #: pause takes none of them up.
    withdrawn: ClassVar[set[str]] = set()

    def pause_task_queue(self, queue: str) -> None:
        """Stops consuming the queue for now: it stays this worker's."""
        super().cancel_task_queue(queue)

    def cancel_task_queue(self, queue: str) -> None:
        """Stops consuming the queue, by remote control."""
        self.withdrawn.add(queue)
        # the connection was lost meanwhile: the next one does without the queue
        if self.task_consumer is None:
            self.app.amqp.queues.deselect(queue)
        else:
            super().cancel_task_queue(queue)

    def add_task_queue(self, queue: str, *arguments: Any, **options: Any) -> None:
        """Consumes the queue."""
        self.withdrawn.discard(queue)
        super().add_task_queue(queue, *arguments, **options)
