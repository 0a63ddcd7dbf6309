"""Copies in place of messages that RabbitMQ has delivered again several times.

A quorum queue counts how often a message came back, whatever the reason: a worker that was killed
or stopped, a connection that broke. RabbitMQ 4 drops it after 20 times, an older version after as
many as an operator's policy says, and no client is told. The limit is not told to clients either,
and `x-delivery-limit` would be refused for each queue that exists without it. So a copy restarts
the count, long before its end, wherever the limit is.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.worker.message_address import address_of, source
from warren.worker.message_copy import counted
from warren.worker.requeue import Requeuer

#: RabbitMQ's header with the count. Without a return there is none.
COUNT = "x-delivery-count"
#: A message that came back so often is copied. One return is what each restart of a worker does to
#: all messages that it had fetched ahead: these keep their place at the head of the queue. Twice
#: leaves room for copies that are cut off, too.
OFTEN = 2


class Redelivery:
    """The copies that one worker makes of messages that came back often."""

    def __init__(self, requeuer: Requeuer) -> None:
        self._requeuer = requeuer
        self._consumer: Any = None

    def begin(self, consumer: Any) -> None:
        """Begin with a new connection."""
        self._consumer = consumer

    def renew(self, message: Any) -> bool:
        """Return whether a copy goes to the end of the queue in the place of the message.

        The task then comes from there.
        """
        returns = counted(message.headers, COUNT)
        # The settings do not have this queue: its name is not known.
        if returns < OFTEN or not source(message):
            return False
        # Until the broker has the copy the message stays unacknowledged: whatever ends before, it
        # comes back once more, and is copied then. If the broker takes no copy (an alarm, a full
        # queue) the task runs now: it must not wait for that.
        run = partial(self._consumer.keep_until_due, message)
        done = partial(self._done, message, returns)
        self._requeuer.send(
            message,
            "",
            source(message),
            done,
            headers=address_of(message),
            refused=run,
            not_taken=run,
        )
        return True

    def _done(self, message: Any, returns: int) -> None:
        about = {
            "task_id": message.headers.get("id"),
            "task": message.headers.get("task"),
            "queue": source(message),
        }
        message.ack()
        logger().info(Event.TASK_RENEWED, **about, returns=returns)
