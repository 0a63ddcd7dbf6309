"""Room in the prefetch for messages that stay unacknowledged for a while: others go on beside them.

A quorum queue has a fixed prefetch: there what stays holds its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def raising_at_once(consumer: Any, handle: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return `handle`, after which a raised prefetch counts at once.

    Celery raises it by one for a message that is kept until it is due, at the next turn of the main
    loop. On Redis and the embedded broker that turn comes with the next look at the queues, so that
    a flood went by two at a time. There it is a number of this process, and no question to a
    broker.
    """
    if consumer.connection.transport.driver_type == "amqp":
        return handle

    def handled(message: Any) -> None:
        handle(message)
        if consumer.qos is not None and consumer.qos.prev != consumer.qos.value:
            consumer.qos.update()

    return handled


class PrefetchRoom:
    """By how much one part of the worker has raised the prefetch."""

    def __init__(self) -> None:
        self._consumer: Any = None
        #: How much that is.
        self.raised = 0

    def begin(self, consumer: Any) -> None:
        """A new connection, whose prefetch is as the settings have it."""
        self._consumer, self.raised = consumer, 0

    def make(self, wanted: int) -> None:
        """Raise the prefetch by so much in all."""
        if wanted == self.raised:
            return
        qos = self._consumer.qos
        before = qos.value
        if wanted > self.raised:
            qos.increment_eventually(wanted - self.raised)
        else:
            qos.decrement_eventually(self.raised - wanted)
        # By less than that where `worker_eta_task_limit` bounds it: what was not raised is not
        # taken back either.
        self.raised += qos.value - before
