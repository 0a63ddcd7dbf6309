"""Room in the prefetch for messages that stay unacknowledged for a while.

Other messages continue beside them. A quorum queue has a fixed prefetch: there each message that
stays holds its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def raising_at_once(consumer: Any, handle: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return `handle`, after which a raised prefetch counts at once.

    Celery raises the prefetch by one for a message that is kept until it is due, at the next step
    of the main loop. On Redis and the embedded broker that step comes with the next look at the
    queues, so that a flood passed two at a time. There the prefetch is a number of this process,
    and no request to a broker.
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
        #: How much that is, in messages.
        self.raised = 0

    def begin(self, consumer: Any) -> None:
        """Begin with a new connection, whose prefetch is as the settings have it."""
        self._consumer, self.raised = consumer, 0

    def make(self, wanted: int) -> None:
        """Raise or lower the prefetch, to `wanted` messages above the settings in all."""
        if wanted == self.raised:
            return
        qos = self._consumer.qos
        before = qos.value
        if wanted > self.raised:
            qos.increment_eventually(wanted - self.raised)
        else:
            qos.decrement_eventually(self.raised - wanted)
        # The change is smaller where `worker_eta_task_limit` bounds it: what was not raised is not
        # lowered again either.
        self.raised += qos.value - before
