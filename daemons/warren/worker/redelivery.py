"""Copies in the place of messages that RabbitMQ has delivered again several times.

A quorum queue counts how often a message came back, whatever the reason: a worker that was killed
or stopped, or a connection that broke. RabbitMQ 4 drops a message after 20 returns, an older
version after as many as an operator's policy says, and tells no client. Clients cannot learn this
limit either, and RabbitMQ would refuse `x-delivery-limit` for a queue that exists without it. So a
copy restarts the count long before any limit is reached.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.worker.message_address import address_of, source
from warren.worker.message_copy import counted
from warren.worker.requeue import Requeuer

#: RabbitMQ's header with the count. A message that never came back has no such header.
COUNT = "x-delivery-count"
#: A message that came back so often is copied. Each restart of a worker returns all messages that
#: it had fetched ahead once: after one return a message keeps its place at the head of the queue.
#: Two leaves room for copies that are cut off, too.
OFTEN = 2


class Redelivery:
    """The copies that one worker makes of messages that came back too often."""

    def __init__(self, requeuer: Requeuer) -> None:
        self._requeuer = requeuer
        self._consumer: Any = None

    def begin(self, consumer: Any) -> None:
        """Begin with a new connection."""
        self._consumer = consumer

    def renew(self, message: Any) -> bool:
        """Send a copy to the end of the queue in the place of the message; return whether this was
        done.

        The task then runs from the copy.
        """
        returns = counted(message.headers, COUNT)
        # The settings do not have this queue, so its name is unknown.
        if returns < OFTEN or not source(message):
            return False
        # The message stays unacknowledged until the broker has the copy. If anything ends before
        # that, the message comes back once more, and is copied then. If the broker takes no copy
        # (an alarm, a full queue), the task runs now, because it must not wait for that.
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
