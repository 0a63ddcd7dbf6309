"""Fresh copies of messages: with a copy, a return to the queue does not count as one.

On RabbitMQ the copies are sent over a connection of their own (publishing_connection.py).
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

#: The most seconds for which the end of the worker waits for a confirmation. A confirmation takes a
#: few milliseconds, or as long as an alarm.
CONFIRM = 3.0


class Requeuer:
    """The copies that one worker makes.

    Only one copy of a task at a time is with the broker. So after a cut, at most one task is there
    twice. Of `repeatable` copies many are on their way at once (unconfirmed.py).
    """

    def __init__(self) -> None:
        self._consumer: Any = None
        self._waiting = WaitingRequeues()
        self._closed = False
        self._connection = PublishingConnection(self._lost)
        #: The number of copies that the broker has taken.
        self._sent = Unconfirmed()
        #: Whether the main loop has already been asked to call `step`.
        self._called = False

    def begin(self, consumer: Any) -> None:
        """Begin with a new connection of the worker.

        The messages of copies on their way were not acknowledged, so the broker delivers them
        again.
        """
        self._connection.begin(consumer)
        self._consumer, self._called = consumer, False
        self._sent.clear()
        self._waiting.clear()

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """Return the errors of a lost connection."""
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

        Until the broker takes the copy, the message stays unacknowledged, for as long as an alarm
        lasts: so it is not lost, whatever ends first. again: gets the message when `withdraw` takes
        it out meanwhile. refused: for a message that no worker can run; called instead of `done`
        when an alarm begins, unless the message `waits`, or when the broker grants no queue for it.
        declare: declares that queue, on another channel. repeatable: two copies of the message do
        no harm. not_taken: called when the destination's queue does not exist or takes no more
        messages; without `not_taken` the copy is tried again, after a pause.
        """
        if message.channel.connection is None:
            # The connection of the message is gone, and the broker delivers the message again. A
            # copy would make the task run twice.
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
        """Send a copy to the end of the queue that the message came from, and to no other queue.

        done, again: as in `send`.
        """
        # Remote control has added a queue that the settings do not have.
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
        """Send a copy back after so many seconds. The message stays unacknowledged until then."""
        self._consumer.timer.call_after(
            seconds, partial(self.send_back, message, done, headers=headers)
        )

    def withdraw(self, queue: str) -> list[Callable[[], None]]:
        """Take out the messages that wait to go back to the queue and were not sent.

        Returns a function for each of them, which runs its task.
        """
        found = self._waiting.sift(
            lambda each: each.routing_key == queue and each.again is not None
        )
        return [each.again for each in found if each.again is not None]

    @property
    def blocked(self) -> bool:
        """Return whether RabbitMQ takes no messages at the moment."""
        return self._connection.blocked

    def end(self) -> bool:
        """Begin no more copies; return True when no copy is with the broker.

        Called at the end of the worker, when the waiting messages go back themselves. A copy that
        has had no answer for CONFIRM seconds is not waited for: an alarm began while the copy was
        on its way. The broker takes the copy after the alarm, and gets the message back now. If the
        message were acknowledged, the task could be lost; so the task may be there twice.
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
                # For as long as the alarm lasts, these copies would hold places in the prefetch,
                # and it is this worker that makes room.
                self._refuse(lambda each: not each.waits)
            self._waiting.add_due()
            while (first := self._waiting.first) is not None:
                if self._closed or self._connection.asking or not self._sent.has_room(first):
                    break
                if not self._send(first):
                    break

    def _send(self, first: PendingRequeue) -> bool:
        """Send the first copy, or the question before it; return whether the next may follow."""
        if not self._connection.open():
            return False
        if self._connection.blocked:
            self._connection.asked = False
            return False
        if not self._connection.asked and not (
            (first.waits or first.is_small) and self._connection.heard_lately
        ):
            # An alarm shows at the first message after it began, so that message must not be a
            # task. The question is not asked for each of many tasks that are due later, because
            # each of them waits here for the end of an alarm anyway. Nor is it asked for each of
            # many dead letters, which become files when an alarm begins (`_refuse`).
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
        # Any sender's message may be impossible to send, and must not end the worker.
        except Exception as error:  # noqa: BLE001
            self._sent.settle(copy)
            logger().error(
                Event.CANNOT_KEEP,
                reason=brief(error),
                consequence="the message is kept on this host",
            )
            (copy.refused or copy.message.requeue)()
            self._soon()

    def _settled(self, copy: PendingRequeue, taken: bool) -> None:
        if not self._sent.settle(copy):
            return  # the message is a file by now, and acknowledged
        if taken:
            self._connection.heard()
            self._sent.most = WINDOW
            self._waiting.taken(copy)
            # Only now, because the broker has the copy. If the process ends before this line, the
            # broker has the message as well.
            copy.done()
            self._soon()
        else:
            # The queue takes no more messages, or does not exist. The message stays unacknowledged,
            # and is tried again after a pause.
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

        When the broker does not grant the queue, the copies for it are `refused`.
        """
        channel = self._connection.other_channel()
        try:
            declare(channel)
            self._connection.declared.add(queue)
        except ChannelError as error:
            logger().error(
                Event.CANNOT_KEEP,
                reason=str(error),
                consequence="these messages stay on this host instead",
            )
            self._refuse(lambda each: each.routing_key == queue)
        finally:
            if channel.is_open:
                channel.close()
        self._soon()

    def _refuse(self, wanted: Callable[[PendingRequeue], bool]) -> None:
        """Keep these messages in another way.

        These are the waiting copies, and the unanswered copies with the broker if two copies of
        them do no harm.
        """
        # The broker may still take the copies that are on their way, now or after the alarm. Then
        # their messages are kept twice.
        for each in [
            *self._sent.take_repeatable(wanted),
            *self._waiting.sift(lambda each: each.refused is not None and wanted(each)),
        ]:
            if each.refused is not None:
                each.refused()

    def _lost(self) -> None:
        self._waiting.add(*self._sent.clear())

    def _soon(self) -> None:
        if not self._called:  # one step sends all copies for which there is room
            self._called = True
            self._consumer.hub.call_soon(self.step)
