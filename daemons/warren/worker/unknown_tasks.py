"""Tasks that no module of this worker has: they go back to other workers first.

New code comes to a fleet host by host, so another worker may have the task already. A worker that
rejected what it does not know would take from the others what they could run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.worker.message_copy import FIRST_PAUSE, pause_before
from warren.worker.requeue import Requeuer

#: The header of a copy: how often it was returned so, and when for the first and the last time
#: (seconds, wall clock).
RETURNS = "warren_unknown"


class UnknownTasks:
    """The returns of one worker.

    `timeout` is the number of seconds after which no worker is expected to have the task.
    """

    def __init__(
        self, requeuer: Requeuer, timeout: float, keep: Callable[[Any, dict[str, Any], str], None]
    ) -> None:
        self._requeuer = requeuer
        #: What becomes of a message that RabbitMQ does not take back: called with the message, its
        #: new headers, and why no worker runs it.
        self._keep = keep
        self._timeout = timeout
        self._kept = 0

    def send_on(self, consumer: Any, message: Any) -> bool:
        """Return the message to its queue in a while; False when it was returned long enough."""
        now = time.time()
        returns, since, last = returned(message.headers or {}, now)
        if now - since >= self._timeout:
            return False
        if not returns:
            logger().warning(
                Event.TASK_UNKNOWN,
                task=message.headers.get("task"),
                task_id=message.headers.get("id"),
                consequence=(
                    f"it goes back to its queue for {self._timeout:g} s, for another worker may "
                    "have it"
                ),
            )
        # A message that is kept holds a place of the prefetch. At most half of the places are used
        # so: other tasks continue.
        long = self._kept < consumer.initial_prefetch_count // 2
        # The pause is longer each time: messages that no worker can run do not keep the worker
        # busy.
        pause = pause_before(returns)
        if now - last >= pause if returns else not long:
            # The message was on its way through the queue for long enough. A flood of such messages
            # goes round as fast as it can: each that was kept for a moment would keep all the good
            # ones behind it for as long.
            pause, long = 0.0, False
        elif not long:
            pause = FIRST_PAUSE
        self._kept += long
        arguments = (consumer, message, consumer.restart_count, returns + 1, since, long)
        consumer.timer.call_after(pause, self._return, arguments)
        return True

    def _return(
        self, consumer: Any, message: Any, connection: int, returns: int, since: float, long: bool
    ) -> None:
        self._kept -= long
        # Otherwise the broker has delivered it again since.
        if consumer.restart_count == connection:
            # On the embedded broker the process that puts a message into an empty queue is the
            # first to look, each time.
            getattr(message.channel.connection, "stand_back", _nothing)()
            # It is acknowledged when the broker has the copy: whatever ends in between, the task is
            # there.
            headers = {RETURNS: [returns, since, time.time()]}
            refused = partial(self._keep, message, headers, "no worker that has the task was found")
            self._requeuer.send_back(message, message.ack, headers=headers, refused=refused)


def _nothing() -> None:
    """Do nothing: other brokers give what comes to consumers in turn."""


def returned(headers: Mapping[str, Any], now: float) -> tuple[int, float, float]:
    """Return how often the message was returned, and when for the first and for the last time.

    A header of another shape counts as none.
    """
    found = headers.get(RETURNS)
    if (
        isinstance(found, list)
        and len(found) == 3
        and all(type(each) in (int, float) for each in found)
    ):
        returns, since, last = found
        # A time ahead of this clock would never be over.
        if 0 <= returns < 10**9 and 0 <= since <= now and 0 <= last <= now:
            return int(returns), float(since), float(last)
    return 0, now, now
