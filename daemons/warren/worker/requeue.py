"""Fresh copies of messages: how a message goes back to its queue without being counted as returned.

On RabbitMQ the connection that consumes must never publish. Under a disk or memory alarm the broker
stops reading from whoever publishes, acknowledgements included, and the worker would no longer
drain the queue that fills the disk. So copies leave by a connection of their own. The main loop
waits for none of them, and when that connection breaks the consuming one stays: its end would have
every running task run twice.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from amqp.exceptions import ChannelError
from kombu.exceptions import OperationalError

from warren.broker.rabbitmq.connection import NOWHERE, SILENCE, Transport, question
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.worker.message_address import address_of, source
from warren.worker.message_copy import copy_of, publish_copy
from warren.worker.message_file import brief
from warren.worker.refused_requeues import RefusedRequeues
from warren.worker.unconfirmed import WINDOW, PendingRequeue, Unconfirmed

#: Seconds until the broker is asked for a connection again: an attempt may hold up the main loop
#: for connect_timeout.
RETRY = 10.0
#: Seconds for which the end of the worker waits for a confirmation, at most: it takes a few
#: milliseconds, or as long as an alarm.
CONFIRM = 3.0
_ERROR = (OperationalError, *Transport.connection_errors, *Transport.channel_errors)


class Requeuer:
    """The copies that one worker makes.

    One at a time is with the broker: cut off then, one task at most is there twice. Beside it are
    many `repeatable` ones (unconfirmed.py).
    """

    def __init__(self) -> None:
        self._consumer: Any = None
        self._waiting: deque[PendingRequeue] = deque()
        self._closed = False
        self._connection: Any = None  # py-amqp's: kombu's would connect again by itself
        self._channel: Any = None
        self._handle = -1
        self._next_attempt = float("-inf")
        #: Whether the broker was asked if it takes messages, and has said so; and the copies that
        #: it has.
        self._asking = self._asked = False
        self._heard = float("-inf")
        self._sent = Unconfirmed()
        self._refused = RefusedRequeues()
        self._called = False
        #: Queues that were seen to over this connection.
        self._declared: set[str] = set()

    def begin(self, consumer: Any) -> None:
        """A new connection of the worker: what was on its way was not acknowledged, and the broker
        delivers it again.
        """
        self._drop()
        self._consumer, self._next_attempt, self._called = consumer, float("-inf"), False
        self._sent.clear()
        self._refused.clear()
        self._waiting.clear()

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """The errors of a connection that is gone."""
        errors: tuple[type[Exception], ...] = self._consumer.connection_errors
        return errors

    def send(
        self,
        message: Any,
        exchange: str,
        routing_key: str,
        done: Callable[[], None],
        again: Callable[[], None] | None = None,
        headers: dict[str, Any] | None = None,
        refused: Callable[[], Any] | None = None,
        declare: Callable[[Any], None] | None = None,
        waits: bool = False,
        repeatable: bool = False,
        not_taken: Callable[[], None] | None = None,
    ) -> None:
        """Sends a copy with these headers added, then calls `done`, which acknowledges the message.

        Until the broker takes it, for as long as an alarm lasts, the message stays unacknowledged:
        nothing is lost, whatever ends first. `withdraw` gives it to `again` meanwhile. `refused` is
        called instead, for a message that nobody can run: when an alarm begins, unless it `waits`,
        or the broker grants no queue for it. `declare` sees to that queue, on another channel.
        `repeatable`: two copies of it do no harm. `not_taken` is called when its queue is not there
        or takes no more; without it the copy is tried again, after a pause.
        """
        if message.channel.connection is None:
            # What it came by is gone, and the broker delivers it again: a copy would be the task's
            # second one.
            return
        if self._consumer.connection.transport.driver_type != "amqp":
            publish_copy(message, exchange, routing_key, **headers or {})
            done()
            return
        copy = PendingRequeue(
            message,
            exchange,
            routing_key,
            headers or {},
            done,
            again,
            refused,
            declare,
            waits,
            repeatable,
            not_taken,
        )
        self._waiting.append(copy)
        self._soon()

    def send_back(
        self,
        message: Any,
        done: Callable[[], None],
        again: Callable[[], None] | None = None,
        headers: dict[str, Any] | None = None,
        refused: Callable[[], Any] | None = None,
    ) -> None:
        """Sends a copy to the end of the queue that the message came from, and to no other one;
        `done` and `again` as above.
        """
        # of a queue that the settings do not have: it came by remote control
        if not source(message):
            message.requeue()
            return
        self.send(
            message,
            "",
            source(message),
            done,
            again,
            {**address_of(message), **(headers or {})},
            refused,
        )

    def send_back_in(
        self, seconds: float, message: Any, done: Callable[[], None], headers: dict[str, Any]
    ) -> None:
        """The same in a while. The message stays unacknowledged until then."""
        self._consumer.timer.call_after(
            seconds, partial(self.send_back, message, done, headers=headers)
        )

    def withdraw(self, queue: str) -> list[Callable[[], None]]:
        """How to run what waits to go back to the queue and has not been sent."""
        found = self._sift(lambda each: each.routing_key == queue and each.again is not None)
        return [each.again for each in found if each.again is not None]

    def _sift(self, wanted: Callable[[PendingRequeue], bool]) -> list[PendingRequeue]:
        """Takes these out of what waits."""
        found = [*self._refused.sift(wanted), *(each for each in self._waiting if wanted(each))]
        self._waiting = deque(each for each in self._waiting if not wanted(each))
        return found

    @property
    def blocked(self) -> bool:
        """Whether RabbitMQ takes no messages just now."""
        return self._connection is not None and bool(self._connection.blocked)

    def end(self) -> bool:
        """Begins no more copies: at the end of the worker what waits goes back as itself. True when
        none is with the broker.

        One that has had no answer for CONFIRM seconds is not waited for: an alarm began while it
        was on its way. The broker takes it when it is well, and the message itself now.
        Acknowledged, the task could be lost; so it may be there twice.
        """
        self._closed = True
        return self._sent.all_for(CONFIRM)

    def step(self) -> None:
        """Sends the next ones if the broker takes messages.

        Called a few times a second, and when one is done.
        """
        self._called = False
        with self._reached():
            if self._connection is not None:
                # The broker closes a connection that is silent for two of them.
                self._connection.heartbeat_tick()
                self._read()
            if self._connection is not None and self._connection.blocked:
                # For as long as the alarm lasts they would hold places of the prefetch, and it is
                # the worker that makes room.
                self._refuse(lambda each: not each.waits)
            self._waiting.extend(self._refused.due())
            while (
                self._next()
                and not (self._closed or self._asking)
                and self._sent.has_room(self._waiting[0])
            ):
                if not self._send():
                    break

    def _next(self) -> bool:
        """Whether one may go. Those for a place that took none just now wait for another of it, and
        hold up nobody.
        """
        while self._waiting and self._refused.keeps(self._waiting[0]):
            self._waiting.popleft()
        return bool(self._waiting)

    def _send(self) -> bool:
        """Sends the first one, or what has to be known before.

        Whether the next one may have its turn.
        """
        if self._connection is None and not self._connect():
            return False
        if self._connection.blocked:
            self._asked = False
            return False
        first = self._waiting[0]
        if not self._asked and not (
            (first.waits or first.is_small) and time.monotonic() - self._heard < SILENCE
        ):
            # An alarm shows at the first message after it began: that one is nobody's task. Not
            # asked for each of a flood of tasks that are due later, each of which waits here for
            # the end of an alarm anyway; nor of a flood of dead letters, which become files when it
            # begins (`_refuse`).
            self._asking = True
            self._channel.publish_later(
                self._answered, question(), exchange="", routing_key=NOWHERE
            )
            return False
        self._asked = False
        if first.declare is not None and first.routing_key not in self._declared:
            self._declare(first.routing_key, first.declare)
            return False
        self._publish(self._waiting.popleft())
        return True

    def _publish(self, copy: PendingRequeue) -> None:
        self._sent.add(copy)
        try:
            message = self._channel.prepare_message(**copy_of(copy.message, **copy.headers))
            settled = partial(self._settled, copy)
            self._channel.publish_later(
                settled, message, exchange=copy.exchange, routing_key=copy.routing_key
            )
        except _ERROR:
            raise
        # Anybody's message: it may have what cannot be sent, and must not end the worker.
        except Exception as error:  # noqa: BLE001
            self._sent.settle(copy)
            logger().error(
                Event.CANNOT_KEEP, reason=brief(error), consequence="it is kept on this host"
            )
            (copy.refused or copy.message.requeue)()
            self._soon()

    def _answered(self, taken: bool) -> None:
        self._asking, self._asked, self._heard = False, True, time.monotonic()
        self._soon()

    def _settled(self, copy: PendingRequeue, taken: bool) -> None:
        if not self._sent.settle(copy):
            return  # it is a file by now, and its message acknowledged
        if taken:
            self._heard, self._sent.most = time.monotonic(), WINDOW
            self._waiting.extend(self._refused.taken(copy))
            # Only now: the broker has the copy, and whatever ends before this line leaves the
            # message there as well.
            copy.done()
            self._soon()
        else:
            # A queue that takes no more, or is not there: the message stays unacknowledged, and is
            # tried after a pause.
            self._sent.most = 1
            self._declared.discard(copy.routing_key)
            if copy.not_taken is None:
                if self._refused.add(copy):
                    logger().warning(Event.REQUEUE_REFUSED, queue=copy.routing_key)
            else:
                copy.not_taken()
            self._soon()  # others go on

    def _declare(self, queue: str, declare: Callable[[Any], None]) -> None:
        """Sees that the queue is there.

        When the broker grants none, the copies for it are `refused`.
        """
        channel = self._connection.channel()  # a refusal closes it
        try:
            declare(channel)
            self._declared.add(queue)
        except ChannelError as error:
            logger().error(
                Event.CANNOT_KEEP,
                reason=str(error),
                consequence="such messages stay on this host instead",
            )
            self._refuse(lambda each: each.routing_key == queue)
        finally:
            if channel.is_open:
                channel.close()
        self._soon()

    def _refuse(self, wanted: Callable[[PendingRequeue], bool]) -> None:
        """Has these kept in another way: what waits, and what is with the broker without an answer,
        if two of it do no harm.
        """
        # The broker may have those that are on their way all the same, or when the alarm is over:
        # then they are kept twice.
        for each in [
            *self._sent.take_repeatable(wanted),
            *self._sift(lambda each: each.refused is not None and wanted(each)),
        ]:
            if each.refused is not None:
                each.refused()

    # -- connection --------------------------------------------------------------------------------

    def _connect(self) -> bool:
        if time.monotonic() < self._next_attempt:
            return False
        self._next_attempt = time.monotonic() + RETRY
        wanted = self._consumer.app.connection_for_write(heartbeat=self._consumer.amqheartbeat)
        # each of several URLs once
        wanted.ensure_connection(max_retries=max(0, len(wanted.alt) - 1))
        self._connection = wanted.connection
        self._channel = self._connection.channel()
        self._handle = self._connection.sock.fileno()
        self._consumer.hub.add_reader(self._handle, self._readable)
        return True

    def _readable(self) -> None:
        with self._reached():
            self._read()

    def _read(self) -> None:
        self._connection.look()
        if not self._connection.connected:
            raise ConnectionResetError("the connection was closed")

    def _soon(self) -> None:
        if not self._called:  # one turn sends all that there is room for
            self._called = True
            self._consumer.hub.call_soon(self.step)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Trouble of this connection is nobody else's: it is made again, and what was on its way is
        sent again.

        The broker may have taken that already: then the task is there twice, and never not at all.
        """
        try:
            yield
        except _ERROR as error:
            consequence = "messages on their way back to their queues wait; other tasks go on"
            logger().warning(
                Event.BROKER_LOST,
                reason=str(error) or type(error).__name__,
                consequence=consequence,
            )
            self._waiting.extend(self._sent.clear())
            self._drop()

    def _drop(self) -> None:
        connection, self._connection, self._channel, self._asking, self._asked = (
            self._connection,
            None,
            None,
            False,
            False,
        )
        self._declared.clear()
        self._heard = float("-inf")
        if connection is not None:
            self._consumer.hub.remove_reader(self._handle)
            connection.collect()
