"""Tasks that no module of this worker has: they first go back for other workers.

New code comes to a fleet host by host, so another worker may have the task already. A worker that
rejected every unknown task would take tasks away from workers that can run them.
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

#: The header of a copy: how often the task was returned for this reason, and when for the first and
#: for the last time (seconds since the epoch).
RETURNS = "warren_unknown"


class UnknownTasks:
    """The returns of one worker.

    timeout: seconds after which no worker is expected to have the task.
    """

    def __init__(
        self, requeuer: Requeuer, timeout: float, keep: Callable[[Any, dict[str, Any], str], None]
    ) -> None:
        self._requeuer = requeuer
        #: Handles a message that RabbitMQ does not accept again. Called with the message, its new
        #: headers, and the reason why no worker runs it.
        self._keep = keep
        self._timeout = timeout
        self._kept = 0

    def send_on(self, consumer: Any, message: Any) -> bool:
        """Return the message to its queue after a pause; return False when it was returned for long
        enough.
        """
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
                    f"the task goes back to its queue for {self._timeout:g} s, because another "
                    "worker may have it"
                ),
            )
        # A message that is kept holds a place in the prefetch. At most half of the places are used
        # in this way, so that other tasks continue.
        long = self._kept < consumer.initial_prefetch_count // 2
        # The pause is longer each time, so that messages that no worker can run do not keep the
        # worker busy.
        pause = pause_before(returns)
        if now - last >= pause if returns else not long:
            # The message has already spent enough time in the queue. Messages of such a flood
            # circulate as fast as they can: if each was kept for a moment, all good messages behind
            # them would be delayed as long.
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
        # Otherwise the broker has delivered the message again since.
        if consumer.restart_count == connection:
            # On the embedded broker, the process that puts a message into an empty queue is always
            # the first process that looks.
            getattr(message.channel.connection, "stand_back", _nothing)()
            # The message is acknowledged when the broker has the copy. So the task is there,
            # whatever ends in between.
            headers = {RETURNS: [returns, since, time.time()]}
            refused = partial(self._keep, message, headers, "no worker that has the task was found")
            self._requeuer.send_back(message, message.ack, headers=headers, refused=refused)


def _nothing() -> None:
    """Do nothing: other brokers deliver messages to their consumers in turn."""


def returned(headers: Mapping[str, Any], now: float) -> tuple[int, float, float]:
    """Return how often the message was returned, and when for the first and for the last time.

    A header of another shape counts as no return.
    """
    found = headers.get(RETURNS)
    if (
        isinstance(found, list)
        and len(found) == 3
        and all(type(each) in (int, float) for each in found)
    ):
        returns, since, last = found
        # A pause until a time ahead of this clock would never end.
        if 0 <= returns < 10**9 and 0 <= since <= now and 0 <= last <= now:
            return int(returns), float(since), float(last)
    return 0, now, now
