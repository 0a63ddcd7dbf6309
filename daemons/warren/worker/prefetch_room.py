"""Room in the prefetch for messages that stay unacknowledged for a while.

With this room, other messages continue to come. A quorum queue has a fixed prefetch: there each
message that stays holds a place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def raising_at_once(consumer: Any, handle: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return `handle` with one more step, after which a raised prefetch counts at once.

    For a message that is kept until it is due, Celery raises the prefetch by one at the next step
    of the main loop. On Redis and the embedded broker that step comes only with the next look at
    the queues, so a flood would pass two messages at a time. On these brokers the prefetch is a
    number in this process, and a change is not a request to a broker.
    """
    if consumer.connection.transport.driver_type == "amqp":
        return handle

    def handled(message: Any) -> None:
        handle(message)
        if consumer.qos is not None and consumer.qos.prev != consumer.qos.value:
            consumer.qos.update()

    return handled


class PrefetchRoom:
    """The room that one part of the worker has added to the prefetch."""

    def __init__(self) -> None:
        self._consumer: Any = None
        #: The size of this room, in messages.
        self.raised = 0

    def begin(self, consumer: Any) -> None:
        """Begin with a new connection, which has the prefetch of the settings."""
        self._consumer, self.raised = consumer, 0

    def make(self, wanted: int) -> None:
        """Raise or lower the prefetch so that it is `wanted` messages above the settings."""
        if wanted == self.raised:
            return
        qos = self._consumer.qos
        before = qos.value
        if wanted > self.raised:
            qos.increment_eventually(wanted - self.raised)
        else:
            qos.decrement_eventually(self.raised - wanted)
        # `worker_eta_task_limit` may limit the change. What was not raised must not be lowered
        # later either.
        self.raised += qos.value - before
