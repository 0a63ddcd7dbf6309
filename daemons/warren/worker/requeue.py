"""Fresh copies of messages: how a message goes back to its queue without being counted as returned.

On RabbitMQ the copies leave by a connection of their own (publishing_connection.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from amqp.exceptions import ChannelError

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.worker.message_address import address_of, source
from warren.worker.message_copy import copy_of, publish_copy
from warren.worker.message_file import brief
from warren.worker.publishing_connection import ERRORS, PublishingConnection
from warren.worker.unconfirmed import WINDOW, PendingRequeue, Unconfirmed
from warren.worker.waiting_requeues import WaitingRequeues

#: Seconds for which the end of the worker waits for a confirmation, at most: it takes a few
#: milliseconds, or as long as an alarm.
CONFIRM = 3.0


class Requeuer:
    """The copies that one worker makes.

    One copy of a task at a time is with the broker: cut off then, one task at most is there twice.
    Of `repeatable` copies many are on their way at once (unconfirmed.py).
    """

    def __init__(self) -> None:
        self._consumer: Any = None
        self._waiting = WaitingRequeues()
        self._closed = False
        self._connection = PublishingConnection(self._lost)
        #: The copies that the broker has.
        self._sent = Unconfirmed()
        #: Whether the main loop was asked to call `step`.
        self._called = False

    def begin(self, consumer: Any) -> None:
        """Take up a new connection of the worker: what was on its way was not acknowledged, and the
        broker delivers it again.
        """
        self._connection.begin(consumer)
        self._consumer, self._called = consumer, False
        self._sent.clear()
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
        """Send a copy with these headers added, then call `done`, which acknowledges the message.

        Until the broker takes the copy, for as long as an alarm lasts, the message stays
        unacknowledged: nothing is lost, whatever ends first. `withdraw` gives the message to
        `again` meanwhile. `refused` is called instead, for a message that no worker can run: when
        an alarm begins, unless the message `waits`, or when the broker grants no queue for it.
        `declare` declares that queue, on another channel. `repeatable`: two copies of the message
        do no harm. `not_taken` is called when its queue is not there or takes no more; without
        `not_taken` the copy is tried again, after a pause.
        """
        if message.channel.connection is None:
            # The connection by which it came is gone, and the broker delivers it again: a copy
            # would be the task's second one.
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
        self._waiting.add(copy)
        self._soon()

    def send_back(
        self,
        message: Any,
        done: Callable[[], None],
        again: Callable[[], None] | None = None,
        headers: dict[str, Any] | None = None,
        refused: Callable[[], Any] | None = None,
    ) -> None:
        """Send a copy to the end of the queue that the message came from, and to no other one;
        `done` and `again` as above.
        """
        # It is of a queue that the settings do not have, which remote control has added.
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
        """Send a copy back in so many seconds. The message stays unacknowledged until then."""
        self._consumer.timer.call_after(
            seconds, partial(self.send_back, message, done, headers=headers)
        )

    def withdraw(self, queue: str) -> list[Callable[[], None]]:
        """Take out what waits to go back to the queue and has not been sent; return for each how to
        run it.
        """
        found = self._waiting.sift(
            lambda each: each.routing_key == queue and each.again is not None
        )
        return [each.again for each in found if each.again is not None]

    @property
    def blocked(self) -> bool:
        """Whether RabbitMQ takes no messages just now."""
        return self._connection.blocked

    def end(self) -> bool:
        """Begin no more copies: at the end of the worker the messages that wait go back themselves.
        Return True when no copy is with the broker.

        A copy that has had no answer for CONFIRM seconds is not waited for: an alarm began while it
        was on its way. The broker takes the copy when it is well, and the message itself now.
        Acknowledged, the task could be lost; so it may be there twice.
        """
        self._closed = True
        return self._sent.all_for(CONFIRM)

    def step(self) -> None:
        """Send the next copies if the broker takes messages.

        Called a few times a second, and when the broker has taken a copy.
        """
        self._called = False
        with self._connection.guarded():
            self._connection.keep_alive()
            if self._connection.blocked:
                # For as long as the alarm lasts they would hold places of the prefetch, and it is
                # the worker that makes room.
                self._refuse(lambda each: not each.waits)
            self._waiting.add_due()
            while (first := self._waiting.first) is not None:
                if self._closed or self._connection.asking or not self._sent.has_room(first):
                    break
                if not self._send(first):
                    break

    def _send(self, first: PendingRequeue) -> bool:
        """Send the first copy, or the question that comes before it; return whether the next copy
        may follow at once.
        """
        if not self._connection.open():
            return False
        if self._connection.blocked:
            self._connection.asked = False
            return False
        if not self._connection.asked and not (
            (first.waits or first.is_small) and self._connection.heard_lately
        ):
            # An alarm shows at the first message after it began: so that one is no task. The
            # question is not asked for each of a flood of tasks that are due later, each of which
            # waits here for the end of an alarm anyway; nor for each of a flood of dead letters,
            # which become files when the alarm begins (`_refuse`).
            self._connection.ask(self._soon)
            return False
        self._connection.asked = False
        if first.declare is not None and first.routing_key not in self._connection.declared:
            self._declare(first.routing_key, first.declare)
            return False
        self._publish(self._waiting.pop())
        return True

    def _publish(self, copy: PendingRequeue) -> None:
        self._sent.add(copy)
        try:
            channel = self._connection.channel
            message = channel.prepare_message(**copy_of(copy.message, **copy.headers))
            settled = partial(self._settled, copy)
            channel.publish_later(
                settled, message, exchange=copy.exchange, routing_key=copy.routing_key
            )
        except ERRORS:
            raise
        # Any sender's message: it may have what cannot be sent, and must not end the worker.
        except Exception as error:  # noqa: BLE001
            self._sent.settle(copy)
            logger().error(
                Event.CANNOT_KEEP, reason=brief(error), consequence="it is kept on this host"
            )
            (copy.refused or copy.message.requeue)()
            self._soon()

    def _settled(self, copy: PendingRequeue, taken: bool) -> None:
        if not self._sent.settle(copy):
            return  # it is a file by now, and its message acknowledged
        if taken:
            self._connection.heard()
            self._sent.most = WINDOW
            self._waiting.taken(copy)
            # Only now: the broker has the copy. A process that ends before this line leaves the
            # message there as well.
            copy.done()
            self._soon()
        else:
            # The queue takes no more, or is not there: the message stays unacknowledged, and is
            # tried again after a pause.
            self._sent.most = 1
            self._connection.declared.discard(copy.routing_key)
            if copy.not_taken is None:
                if self._waiting.refuse(copy):
                    logger().warning(Event.REQUEUE_REFUSED, queue=copy.routing_key)
            else:
                copy.not_taken()
            self._soon()  # other copies continue

    def _declare(self, queue: str, declare: Callable[[Any], None]) -> None:
        """Declare the queue.

        When the broker grants none, the copies for it are `refused`.
        """
        channel = self._connection.other_channel()
        try:
            declare(channel)
            self._connection.declared.add(queue)
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
        """Have these kept in another way: what waits, and what is with the broker without an
        answer, if two of it do no harm.
        """
        # The broker may take those that are on their way all the same, now or when the alarm is
        # over: then they are kept twice.
        for each in [
            *self._sent.take_repeatable(wanted),
            *self._waiting.sift(lambda each: each.refused is not None and wanted(each)),
        ]:
            if each.refused is not None:
                each.refused()

    def _lost(self) -> None:
        self._waiting.add(*self._sent.clear())

    def _soon(self) -> None:
        if not self._called:  # one step sends all that there is room for
            self._called = True
            self._consumer.hub.call_soon(self.step)
