"""Tasks that are due later: a few wait in the worker's memory, the rest in the broker.

Celery keeps each message with an ETA in the worker and raises the prefetch by one, without a limit.
A flood of such messages fills the worker's memory, and a message that is kept for long exceeds
RabbitMQ's consumer_timeout or Redis' visibility_timeout. So the worker keeps only tasks that are
due soon, because it runs them exactly on time, and only a bounded number of them. Every other
message goes back to the broker, together with the time at which to deliver it again.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from amqp.exceptions import ChannelError

from warren.broker.due import LEAD, NEAR
from warren.broker.rabbitmq import delay_queues
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.worker.message_address import address_of, source
from warren.worker.message_copy import due_in
from warren.worker.prefetch_room import PrefetchRoom
from warren.worker.requeue import Requeuer
from warren.worker.task_fields import about_message

#: The most tasks that the worker keeps: some 6 kB each.
MOST = 1000
#: The shortest wait in the broker, in seconds.
SHORTEST = 1.0
#: The prefetch is raised for at most this many messages on their way to the broker.
_STEP = 50


class DelayedTasks:
    """The tasks of one worker that are due later."""

    def __init__(
        self, requeuer: Requeuer, near: float = NEAR, note: Callable[[str], object] = bool
    ) -> None:
        """Make an empty set of such tasks.

        note: called with the name of each RabbitMQ queue to which a message was sent.
        """
        self._requeuer = requeuer
        self._note = note
        self._near = min(near, NEAR)
        #: When the tasks that are kept are due (seconds, wall clock).
        self._kept: list[float] = []
        #: The number of copies that RabbitMQ does not have yet.
        self._leaving = 0
        self._room = PrefetchRoom()
        self._consumer: Any = None
        self._refused = False

    def begin(self, consumer: Any) -> None:
        """Begin with a new connection. All messages that were here or on their way come again."""
        self._consumer, self._kept, self._leaving, self._refused = consumer, [], 0, False
        self._room.begin(consumer)

    def postpone(self, message: Any) -> bool:
        """Send the message back to the broker if it is due much later; return whether it left."""
        due = due_in(message.headers)
        if due <= 0:
            return False
        now = time.time()
        while self._kept and self._kept[0] <= now:
            heapq.heappop(self._kept)
        away = away_for(due, len(self._kept), self._near_here())
        if away and self.send_away(message, now + away, away):
            logger().info(Event.TASK_POSTPONED, **about_message(message), due_in_s=round(due, 3))
            return True
        heapq.heappush(self._kept, now + due)
        return False

    def step(self) -> None:
        """Follow the messages on their way, and RabbitMQ's alarms. Called a few times a second."""
        self._room.make(self._wanted())

    def _near_here(self) -> float:
        # A quorum queue's prefetch cannot be raised: each message that is kept holds a place in it.
        quorum = self._consumer.app.conf.task_default_queue_type == "quorum"
        return min(self._near, SHORTEST) if quorum else self._near

    def send_away(self, message: Any, until: float, seconds: float) -> bool:
        """Send the message back to the broker, which delivers it again at the time `until`.

        seconds: the time until then. Returns False if the message stays in this worker.
        """
        if not source(message):
            return False
        # The channels of Redis and of the embedded broker send it back in one step.
        own = getattr(message.channel, "postpone", None)
        if own is not None:
            return bool(own(message, until))
        if self._refused:
            return False
        name, level = delay_queues.place(source(message), seconds)
        self._leaving += 1
        self._make_room()
        # The message is unacknowledged until the broker has the copy. So the task is not lost,
        # whatever dies in between.
        self._requeuer.send(
            message,
            "",
            name,
            partial(self._left, message, name),
            headers=address_of(message),
            declare=partial(self._declare, name=name, queue=source(message), level=level),
            refused=partial(self._stays, message),
            waits=True,
        )
        return True

    def _left(self, message: Any, name: str) -> None:
        self._leaving -= 1
        self._note(name)
        message.ack()

    def _declare(self, channel: Any, **queue: Any) -> None:
        try:
            delay_queues.declare(channel, **queue)
        except ChannelError:
            if not self._refused:
                self._refused = True
                consequence = "tasks that are due later wait in memory"
                logger().error(Event.CANNOT_POSTPONE, queue=queue["queue"], consequence=consequence)
            raise

    def _stays(self, message: Any) -> None:
        """Keep the task in this worker: RabbitMQ grants no queue for it, or it cannot be copied.

        When RabbitMQ grants no queue, the worker keeps all such tasks, as Celery does.
        """
        self._leaving -= 1
        if self._refused or len(self._kept) < MOST:
            heapq.heappush(self._kept, time.time() + due_in(message.headers))
            self._consumer.keep_until_due(message)
        else:
            self._consumer.unsendable(message)

    def _make_room(self) -> None:
        """Raise the prefetch by the messages on their way, so that other tasks continue meanwhile.

        The prefetch is raised by MOST at most, so that a flood does not fill the memory. While
        RabbitMQ takes no messages there is no such limit, because no message can leave the worker.
        """
        wanted = self._wanted()
        if wanted > self._room.raised:
            self._room.make(wanted)

    def _wanted(self) -> int:
        # Raised in steps: each change is a request to the broker, and the main loop waits for the
        # answer.
        wanted = -(-self._leaving // _STEP) * _STEP
        return wanted if self._requeuer.blocked else min(wanted, MOST)


def away_for(due: float, kept: int, near: float) -> float:
    """Return for how many seconds to send a task away that is due in `due` s; 0 to keep it. Pure.

    kept: the number of tasks that the worker keeps already.
    """
    if due > near:
        return max(due - min(LEAD, near / 2), SHORTEST)
    # The worker keeps no more tasks than this. Further tasks come back when they are due, up to a
    # second late.
    return max(due, SHORTEST) if kept >= MOST else 0.0
