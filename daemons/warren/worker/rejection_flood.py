"""A flood of small messages that no worker can run: more of them are taken from RabbitMQ at a time.

So the flood ends sooner. A worker holds as many unacknowledged messages as its prefetch says, a few
for each child. A rejected message holds its place in the prefetch until the broker has written its
copy and its acknowledgement to disk. So a flood would pass a few messages at a time, and a quorum
queue's prefetch cannot be raised. While only messages that no worker can run come from a queue, the
worker therefore adds a second consumer, with its own channel and prefetch. The second consumer has
the lowest priority: a task that can run goes to another consumer that has room. It ends at the
first task that can run. Of the tasks that came by it, the worker keeps as many as its prefetch
says, and returns the rest.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from amqp.exceptions import ChannelError

from warren.app.queues import counts_returns
from warren.worker.message_address import source
from warren.worker.requeue import Requeuer
from warren.worker.unconfirmed import WINDOW

#: So many messages in a row that no worker can run are a flood.
IN_A_ROW = 20
#: The largest body in bytes that counts as small: the worker holds WINDOW of such messages.
SMALL = 2**14
#: Seconds without such a message after which the flood is over.
IDLE = 2.0


class Flood:
    """The second consumer of one worker: for one queue at a time, over one connection."""

    def __init__(self, requeuer: Requeuer) -> None:
        self._requeuer = requeuer
        self._consumer: Any = None
        #: The second consumer's channel. It stays open, because its messages are acknowledged on
        #: it.
        self._channel: Any = None
        self._taking: Any = None
        self._queue = ""
        #: By queue: how many such messages came in a row, and when the last such message came.
        self._rows: dict[str, int] = {}
        self._last = 0.0
        #: The unacknowledged tasks that can run and came by the second consumer.
        self._kept: list[Any] = []

    def begin(self, consumer: Any) -> None:
        """Begin with a new connection."""
        self._consumer, self._channel, self._taking, self._queue = consumer, None, None, ""
        self._rows.clear()
        self._kept.clear()

    def foul(self, message: Any) -> None:
        """Note that no worker can run the message."""
        queue = source(message)
        if len(message.body or b"") > SMALL:
            self._over(queue)
            return
        self._rows[queue] = self._rows.get(queue, 0) + 1
        self._last = time.monotonic()

    def good(self, message: Any) -> bool:
        """Note that the message can be run; return whether it was sent back to its queue.

        It is sent back when the worker already holds enough tasks that can run.
        """
        self._over(source(message))
        if self._channel is None or message.channel is not self._channel:
            return False
        self._kept = [each for each in self._kept if not each.acknowledged]
        if len(self._kept) < self._consumer.initial_prefetch_count or self._requeuer.blocked:
            self._kept.append(message)
            return False
        if counts_returns(self._consumer.app, source(message)):
            # The message stays unacknowledged until the broker has its copy. If an alarm begins
            # before that, its task runs in this worker.
            run = partial(self._consumer.keep_until_due, message)
            self._requeuer.send_back(message, message.ack, refused=run)
        else:
            message.requeue()
        return True

    def step(self, closed: bool) -> None:
        """Begin a second consumer of a flooded queue, or end the second consumer.

        closed: the worker takes no more messages.
        """
        # Under an alarm each rejected message becomes a file. More messages at a time would block
        # the main loop.
        closed = closed or self._requeuer.blocked
        if self._queue:
            if closed or time.monotonic() - self._last > IDLE or not self._consumes(self._queue):
                self._over(self._queue)
        elif not closed:
            flooded = (
                queue
                for queue, row in self._rows.items()
                if row >= IN_A_ROW and self._consumes(queue)
            )
            if queue := next(flooded, ""):
                self._begin_taking(queue)

    def _consumes(self, queue: str) -> bool:
        consumer = self._consumer.task_consumer
        return consumer is not None and bool(consumer.consuming_from(queue))

    def _over(self, queue: str) -> None:
        self._rows.pop(queue, None)
        if queue and queue == self._queue:
            taking, self._taking, self._queue = self._taking, None, ""
            if taking is not None:
                # While the client waits for the broker's answer, it also handles messages that are
                # on their way.
                taking.cancel()

    def _begin_taking(self, name: str) -> None:
        consumer = self._consumer
        if consumer.connection.transport.driver_type != "amqp":
            self._rows.clear()
            return
        try:
            if self._channel is None:
                self._channel = consumer.connection.channel()
                self._channel.basic_qos(0, WINDOW, False)
            queue = consumer.app.amqp.queues[name](self._channel)
            queue.consumer_arguments = {"x-priority": -1}
            self._queue = name
            self._taking = consumer.app.amqp.TaskConsumer(
                self._channel,
                [queue],
                auto_declare=False,
                on_message=consumer.task_consumer.on_message,
                on_decode_error=consumer.on_decode_error,
            )
            self._taking.consume()
        # The queue no longer exists, or RabbitMQ allows no more consumers. The first consumer
        # continues.
        except ChannelError:
            self._channel = self._taking = None
            self._queue = ""
            self._rows.clear()
