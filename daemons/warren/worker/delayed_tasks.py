"""Tasks that are due later: a few wait in the worker's memory, the rest in the broker.

Celery keeps each message with an ETA in the worker and raises the prefetch by one, without a limit.
A flood of such messages fills its memory, and what is kept for long passes RabbitMQ's
consumer_timeout or Redis' visibility_timeout. So the worker keeps only what is due soon, for that
is exact, and a bounded number of it. Everything else goes back to the broker with the moment at
which it is to be delivered again.
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
#: The prefetch is raised by so many messages on their way at a time.
_STEP = 50


class DelayedTasks:
    """The tasks of one worker that are due later."""

    def __init__(
        self, requeuer: Requeuer, near: float = NEAR, note: Callable[[str], object] = bool
    ) -> None:
        """`note` is called with each queue of RabbitMQ that a message has gone to."""
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
        """Begin with a new connection: what was kept or on its way is delivered again."""
        self._consumer, self._kept, self._leaving, self._refused = consumer, [], 0, False
        self._room.begin(consumer)

    def postpone(self, message: Any) -> bool:
        """Return whether the message went back to the broker, to come again when it is due."""
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
        """Follow what is on its way, and the alarms of RabbitMQ. Called a few times a second."""
        self._room.make(self._wanted())

    def _near_here(self) -> float:
        # A quorum queue's prefetch cannot be raised: what is kept holds a place of it.
        quorum = self._consumer.app.conf.task_default_queue_type == "quorum"
        return min(self._near, SHORTEST) if quorum else self._near

    def send_away(self, message: Any, until: float, seconds: float) -> bool:
        """Send the message back to the broker, which delivers it again at `until`.

        `seconds` is the time until then. Return whether the message goes.
        """
        if not source(message):
            return False
        # The channels of Redis and of the embedded broker do it in one step.
        own = getattr(message.channel, "postpone", None)
        if own is not None:
            return bool(own(message, until))
        if self._refused:
            return False
        name, level = delay_queues.place(source(message), seconds)
        self._leaving += 1
        self._make_room()
        # The message is unacknowledged until the broker has the copy: whatever ends in between, the
        # task is there.
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
        """Keep the task here, as RabbitMQ grants no queue for it or it cannot be sent as a copy.

        Where RabbitMQ grants no queue all tasks are kept, as Celery keeps them.
        """
        self._leaving -= 1
        if self._refused or len(self._kept) < MOST:
            heapq.heappush(self._kept, time.time() + due_in(message.headers))
            self._consumer.keep_until_due(message)
        else:
            self._consumer.unsendable(message)

    def _make_room(self) -> None:
        """Raise the prefetch by what is on its way: good tasks continue meanwhile.

        It is raised by MOST, so that a flood fills no memory. It has no limit while RabbitMQ takes
        no messages, for then none leaves.
        """
        wanted = self._wanted()
        if wanted > self._room.raised:
            self._room.make(wanted)

    def _wanted(self) -> int:
        # It is raised in steps: each change is a request to the broker, and the main loop waits for
        # the answer.
        wanted = -(-self._leaving // _STEP) * _STEP
        return wanted if self._requeuer.blocked else min(wanted, MOST)


def away_for(due: float, kept: int, near: float) -> float:
    """Return for how many seconds to send a task away that is due in `due` s; 0: it is kept. Pure.

    `kept` is how many tasks are kept already.
    """
    if due > near:
        return max(due - min(LEAD, near / 2), SHORTEST)
    # As many are kept as may be: the others come when they are due, up to a second late.
    return max(due, SHORTEST) if kept >= MOST else 0.0
