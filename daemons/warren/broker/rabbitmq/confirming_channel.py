"""A channel of RabbitMQ that numbers its messages, and whose broker confirms each by its number."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from amqp import spec
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import MessageNacked, RecoverableConnectionError
from amqp.serialization import dumps
from kombu.transport import pyamqp

from warren.broker.deadline import Deadline
from warren.broker.decompression import HeadersTooLarge
from warren.broker.incoming import IncomingMessage
from warren.broker.message_size import SizeChecked
from warren.broker.publish_timeout import NotTaken
from warren.broker.rabbitmq.answer_timeout import AnswerTimeout
from warren.broker.rabbitmq.frames import readable
from warren.broker.rabbitmq.returned_messages import Returns, must_arrive
from warren.broker.unroutable import NoRoute

#: Seconds. A channel that has got no confirmation for so long sends a test message to no queue,
#: before it sends a message that matters.
SILENCE = 1.0
#: The routing key of the test message. No queue has this name, so the broker confirms the message
#: and drops it.
NOWHERE = "warren.nowhere"
#: Bytes of a frame for the properties other than the headers: each property has at most 255 bytes.
_PROPERTIES = 4096


def question() -> RawMessage:
    """Return the test message. The answer to it shows whether the broker takes any messages.

    The message has a body: the broker says that it blocks when it has read the header of a message
    with a body.
    """
    return RawMessage("?")


class ReceivedMessage(pyamqp.Message, IncomingMessage):
    """A message of RabbitMQ, refused if it is larger or deeper than Warren allows."""


class Channel(AnswerTimeout, SizeChecked, pyamqp.Channel):
    """A channel that identifies each of its messages by the broker's number.

    So the late confirmation of one message is never taken for that of another message.
    """

    Message = ReceivedMessage
    #: The Connection of connection.py. It makes its channels of this class. None when the channel
    #: is closed.
    connection: Any
    _confirm_selected: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._last = 0
        self._unconfirmed: dict[int, Callable[[bool], None] | None] = {}
        self._refused: set[int] = set()
        self._returns = Returns()
        self._heard = float("-inf")
        #: The object that waits for the confirmations of several messages (batch_publish.py). While
        #: it is set, publishing returns at once.
        self.together: Any = None
        super().__init__(*args, **kwargs)

    @property
    def largest_message(self) -> int | None:
        """The most bytes of a body; None: no limit."""
        return None if self.connection is None else self.connection.largest_message

    def dispatch_method(self, method_sig: Any, payload: Any, content: Any) -> Any:
        """Dispatch as py-amqp does. A delivery whose routing key is not a text is dispatched as
        well.
        """
        return super().dispatch_method(
            method_sig, readable(payload) if method_sig == spec.Basic.Deliver else payload, content
        )

    def prepare_message(self, *args: Any, **kwargs: Any) -> Any:
        """Prepare as kombu does. Raises TooLarge or HeadersTooLarge."""
        message = super().prepare_message(*args, **kwargs)
        headers = message.properties.get("application_headers")
        # The headers go in one frame, whatever their size, and the broker closes the connection of
        # a sender whose frame is too large. The text that Python makes of the headers is at least a
        # third as long as the bytes that are sent.
        if (
            headers
            and self.connection is not None
            and len(repr(headers)) > (most := self.connection.frame_max) // 4
        ):
            size, most = len(dumps("F", (headers,))), most - _PROPERTIES
            if size > most:
                raise HeadersTooLarge(size, most)
        return message

    # -- publish -----------------------------------------------------------------------------------

    def basic_publish_confirm(self, *args: Any, **kwargs: Any) -> Any:
        """Publish, and return when the broker has taken the message.

        `confirm_timeout` or `timeout` (seconds) replaces the connection's publish_timeout. Raises
        NotTaken, NoRoute or MessageNacked.
        """
        if self.connection is None:
            # kombu connects again after this error.
            raise RecoverableConnectionError(
                "the connection was closed before the message was sent"
            )
        given = kwargs.pop("confirm_timeout", None), kwargs.pop("timeout", None)
        if (together := self.together) is not None:
            return together.publish(*args, **kwargs)
        limit = next((each for each in given if each), self.connection.publish_timeout)
        deadline = Deadline(limit)
        self.ask_for_room(deadline)
        return self._await(self._send(*args, **kwargs), deadline, sent=True)

    def ask_for_room(self, deadline: Deadline) -> None:
        """Return when the broker takes messages, as far as its recent answers show. Raises
        NotTaken.
        """
        self._begin_confirms(deadline)
        if time.monotonic() - self._heard > SILENCE:
            # The test uses a message of its own. A broker under an alarm would keep the first real
            # message and take it after the alarm, long after its sender was told of a failure and
            # has perhaps sent it again. The broker may even confirm the first message, but only
            # after it has said that it reads no more.
            self._await(
                self._send(question(), exchange="", routing_key=NOWHERE), deadline, sent=False
            )
            self.connection.look()
        self.connection.until_unblocked(deadline)

    def publish_later(self, answered: Callable[[bool], None], *args: Any, **kwargs: Any) -> None:
        """Publish and return at once.

        The reader of the connection calls `answered` later, with whether the broker took the
        message.
        """
        self._begin_confirms(Deadline(0.0))
        self._unconfirmed[self._send(*args, **kwargs)] = answered

    def _begin_confirms(self, deadline: Deadline) -> None:
        if not self._confirm_selected:
            self.connection.look()
            self.connection.until_unblocked(deadline)
            # A new channel counts from 1 again.
            self._last, self._unconfirmed, self._refused = 0, {}, set()
            self._returns = Returns()
            self.events["basic_ack"].add(self._on_confirmed)
            self.events["basic_nack"].add(self._on_refused)
            self.events["basic_return"].add(self._on_returned)
            self.confirm_select()
            self._confirm_selected = True

    def _send(self, message: RawMessage, *args: Any, **kwargs: Any) -> int:
        address = (kwargs.get("exchange", ""), kwargs.get("routing_key", ""))
        if wanted := must_arrive(address, message):
            kwargs["mandatory"] = True
        self._basic_publish(message, *args, **kwargs)
        self._last += 1
        self._unconfirmed[self._last] = None
        if wanted:
            self._returns.expect(self._last, address)
        return self._last

    def _await(self, number: int, deadline: Deadline, sent: bool) -> None:
        while number in self._unconfirmed:
            try:
                self.read_on(deadline, sent)
            except NotTaken:
                self._returns.settle(number)  # a return that comes later belongs to no message
                raise
        if (address := self._returns.settle(number)) is not None:
            raise NoRoute(*address)
        if number in self._refused:
            self._refused.discard(number)
            raise MessageNacked

    def read_on(self, deadline: Deadline, sent: bool) -> None:
        """Read one frame of the connection. The frame may be an answer.

        Raises NotTaken after the deadline.
        """
        if self.connection is None:
            raise RecoverableConnectionError(
                "the connection was closed before the broker had confirmed"
            )
        if deadline.left == 0:
            raise self.connection.given_up(deadline.length, sent)
        with suppress(TimeoutError):
            self.connection.blocking_read(deadline.left)

    def _on_confirmed(self, number: int, multiple: bool) -> None:
        self._heard = time.monotonic()
        self._on_answer(number, multiple, True)

    def _on_refused(self, number: int, multiple: bool) -> None:
        self._on_answer(number, multiple, False)

    def _on_returned(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        self._returns.take((exchange, routing_key), self._unconfirmed)

    def _on_answer(self, number: int, multiple: bool, taken: bool) -> None:
        for each in [
            known for known in self._unconfirmed if known == number or (multiple and known < number)
        ]:
            answered = self._unconfirmed.pop(each)
            if answered is not None:
                came_back = self._returns.settle(each) is not None
                answered(taken and not came_back)
            elif not taken:
                self._refused.add(each)

    # -- everything else ---------------------------------------------------------------------------

    def send_method(self, sig: Any, *args: Any, wait: Any = None, **kwargs: Any) -> Any:
        """Send as py-amqp does, but send no request with an answer over a blocked connection.

        Waits until the connection is no longer blocked. Raises NotTaken.
        """
        if wait is not None and self.connection is not None:
            closing = sig == spec.Channel.Close
            self.connection.look()
            self.connection.until_unblocked(
                Deadline(0.0 if closing else self.connection.publish_timeout)
            )
        return super().send_method(sig, *args, wait=wait, **kwargs)

    def close(self, *args: Any, **kwargs: Any) -> None:
        """Close the channel.

        A channel of a blocked connection is only forgotten: its number is not used again.
        """
        with suppress(NotTaken):
            super().close(*args, **kwargs)
