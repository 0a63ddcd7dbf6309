"""RabbitMQ as Warren talks to it: every question and every publish ends in bounded time.

A RabbitMQ that is low on disk or memory stops reading from each connection that publishes. On such a connection no confirmation
comes, nor an answer to anything else, nor to its closing; kombu's own transport waits for all of them without end. The broker
says that it has begun (connection.blocked) once the first message was on its way.
"""

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

from warren.broker.arrivals import Arrival
from warren.broker.deadline import Deadline
from warren.broker.frames import bounded_handler, readable
from warren.broker.not_taken import NotTaken
from warren.broker.returns import Returns, must_arrive
from warren.broker.sized import Sized
from warren.broker.transport_names import take_names
from warren.broker.unpack import HeadersTooLarge
from warren.broker.unroutable import NoRoute

#: Seconds that the broker has for an answer other than a confirmation. Less than what a supervisor takes for a hung daemon.
ANSWER = 10.0
#: A channel that has heard no confirmation for so long (seconds) asks with a message to nobody before it sends one that counts.
SILENCE = 1.0
#: The routing key of that message. No queue has this name, so that the broker confirms it and drops it.
NOWHERE = "warren.nowhere"
#: Bytes of a frame that are for the properties beside the headers: each has 255 at most.
_PROPERTIES = 4096


def question() -> RawMessage:
    """A message that asks whether the broker takes any. It has a body: the broker says at the header that it blocks."""
    return RawMessage("?")


class _Bounded:
    """What a channel and a connection share: no wait without an end."""

    def wait(self, method: Any, callback: Any = None, timeout: float | None = None, returns_tuple: bool = False) -> Any:
        """As py-amqp's. Raises TimeoutError after ANSWER seconds, and drops the connection: its closing would wait as long."""
        if timeout is not None:
            return super().wait(method, callback, timeout, returns_tuple)  # type: ignore[misc]
        connection: Any = self.connection or self  # type: ignore[attr-defined]
        # py-amqp counts anew at each frame, and a blocked connection still gets its heartbeats, a consuming one its messages.
        before, connection.answer_by = connection.answer_by, time.monotonic() + ANSWER
        try:
            return super().wait(method, callback, ANSWER, returns_tuple)  # type: ignore[misc]
        except TimeoutError:
            connection.collect()
            raise
        finally:
            connection.answer_by = before


class ReceivedMessage(pyamqp.Message, Arrival):
    """kombu's message of RabbitMQ, bounded."""


class Channel(_Bounded, Sized, pyamqp.Channel):
    """A channel that knows each of its messages by the broker's number for it, so that a late confirmation is nobody else's."""

    Message = ReceivedMessage
    connection: Connection
    _confirm_selected: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._last = 0
        self._unconfirmed: dict[int, Callable[[bool], None] | None] = {}
        self._refused: set[int] = set()
        self._returns = Returns()
        self._heard = float("-inf")
        #: Whoever waits for several messages at once (together.py); their publishing returns at once.
        self.together: Any = None
        super().__init__(*args, **kwargs)

    @property
    def largest_message(self) -> int | None:
        """Bytes that a body may have; None without an end."""
        return None if self.connection is None else self.connection.largest_message

    def dispatch_method(self, method_sig: Any, payload: Any, content: Any) -> Any:
        """As py-amqp's, also for a delivery whose routing key is no text."""
        return super().dispatch_method(method_sig, readable(payload) if method_sig == spec.Basic.Deliver else payload, content)

    def prepare_message(self, *args: Any, **kwargs: Any) -> Any:
        """As kombu's. Raises TooLarge, HeadersTooLarge."""
        message = super().prepare_message(*args, **kwargs)
        headers = message.properties.get("application_headers")
        # They stand in one frame, however large: the broker closes the connection of who sends one that is too large. What Python
        # shows of them is at least a third of what is sent.
        if headers and self.connection is not None and len(repr(headers)) > (most := self.connection.frame_max) // 4:
            size, most = len(dumps("F", (headers,))), most - _PROPERTIES
            if size > most:
                raise HeadersTooLarge(size, most)
        return message

    # -- publish -----------------------------------------------------------------------------------------------------

    def basic_publish_confirm(self, *args: Any, **kwargs: Any) -> Any:
        """Publishes, and returns when the broker has taken the message. Raises NotTaken, NoRoute, MessageNacked.

        `confirm_timeout` or `timeout` (seconds) replaces the connection's publish_timeout.
        """
        if self.connection is None:
            raise RecoverableConnectionError("the connection was closed before the message was sent")  # kombu connects anew
        given = kwargs.pop("confirm_timeout", None), kwargs.pop("timeout", None)
        if (together := self.together) is not None:
            return together.publish(*args, **kwargs)
        limit = next((each for each in given if each), self.connection.publish_timeout)
        deadline = Deadline(limit)
        self.ask_for_room(deadline)
        return self._await(self._send(*args, **kwargs), deadline, sent=True)

    def ask_for_room(self, deadline: Deadline) -> None:
        """Returns when the broker, by what it has said of late, takes messages. Raises NotTaken."""
        self._begin_confirms(deadline)
        if time.monotonic() - self._heard > SILENCE:
            # Not with the message itself: a broker under an alarm keeps the first one in hand and takes it when it is well again,
            # long after the sender was told of a failure and has perhaps sent it anew.
            # It may even confirm the first one, but only after it has said that it reads no more.
            self._await(self._send(question(), exchange="", routing_key=NOWHERE), deadline, sent=False)
            self.connection.look()
        self.connection.until_unblocked(deadline)

    def publish_later(self, answered: Callable[[bool], None], *args: Any, **kwargs: Any) -> None:
        """Publishes and returns at once; `answered` is told, by whoever reads the connection, whether the broker took it."""
        self._begin_confirms(Deadline(0.0))
        self._unconfirmed[self._send(*args, **kwargs)] = answered

    def _begin_confirms(self, deadline: Deadline) -> None:
        if not self._confirm_selected:
            self.connection.look()
            self.connection.until_unblocked(deadline)
            self._last, self._unconfirmed, self._refused = 0, {}, set()  # numbers begin anew with a channel
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
                self._returns.settle(number)  # a return that comes later is nobody's
                raise
        if (address := self._returns.settle(number)) is not None:
            raise NoRoute(*address)
        if number in self._refused:
            self._refused.discard(number)
            raise MessageNacked

    def read_on(self, deadline: Deadline, sent: bool) -> None:
        """Reads one frame of those in which the answers are. Raises NotTaken after the deadline."""
        if self.connection is None:
            raise RecoverableConnectionError("the connection was closed before the broker had confirmed")
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
        for each in [known for known in self._unconfirmed if known == number or (multiple and known < number)]:
            answered = self._unconfirmed.pop(each)
            if answered is not None:
                came_back = self._returns.settle(each) is not None
                answered(taken and not came_back)
            elif not taken:
                self._refused.add(each)

    # -- everything else ---------------------------------------------------------------------------------------------

    def send_method(self, sig: Any, *args: Any, wait: Any = None, **kwargs: Any) -> Any:
        """As py-amqp's. What has an answer is not asked on a blocked connection. Raises NotTaken."""
        if wait is not None and self.connection is not None:
            closing = sig == spec.Channel.Close
            self.connection.look()
            self.connection.until_unblocked(Deadline(0.0 if closing else self.connection.publish_timeout))
        return super().send_method(sig, *args, wait=wait, **kwargs)

    def close(self, *args: Any, **kwargs: Any) -> None:
        """Closes, or, on a blocked connection, forgets the channel: its number is not used again."""
        with suppress(NotTaken):
            super().close(*args, **kwargs)


class Connection(_Bounded, pyamqp.Connection):
    """A connection that knows whether the broker reads it. `publish_timeout` in seconds, None waits for ever."""

    Channel = Channel

    def __init__(
        self, *args: Any, publish_timeout: float | None = None, largest_message: int | None = None, **kwargs: Any
    ) -> None:
        kwargs |= {"on_blocked": self._begin_blocked, "on_unblocked": self._end_blocked, "frame_handler": bounded_handler}
        super().__init__(*args, **kwargs)
        self.publish_timeout = publish_timeout
        self.largest_message = largest_message
        self.blocked = False
        #: When the answer that is waited for has to be there (monotonic seconds); None while none is.
        self.answer_by: float | None = None

    def blocking_read(self, timeout: float | None = None) -> Any:
        """As py-amqp's: reads one frame. Raises TimeoutError, also when the time for an answer is over."""
        if self.answer_by is not None:
            left = self.answer_by - time.monotonic()
            if left <= 0:
                raise TimeoutError("the broker did not answer in time")
            timeout = left if timeout is None else min(timeout, left)
        return super().blocking_read(timeout)

    def look(self) -> None:
        """Takes in what the broker has said so far; does not wait."""
        with suppress(TimeoutError):
            while self.connected:
                self.blocking_read(0)

    def until_unblocked(self, deadline: Deadline) -> None:
        """Returns when the broker, by what it has said so far, reads this connection. Raises NotTaken after the deadline."""
        while self.blocked:
            if deadline.left == 0:
                raise NotTaken(deadline.length or 0.0, blocked=True, sent=False)
            with suppress(TimeoutError):
                self.blocking_read(deadline.left)  # one frame: drain_events would begin anew at each heartbeat

    def given_up(self, waited: float | None, sent: bool) -> NotTaken:
        """The error for a message without a confirmation."""
        blocked = self.blocked
        if not blocked:
            self.collect()  # a broker that is silent without a reason hangs: the next message gets a new connection
        return NotTaken(waited or 0.0, blocked, sent)

    def close(self, *args: Any, **kwargs: Any) -> None:
        """Closes; a blocked connection is dropped, for nobody would answer."""
        try:
            self.look()
        except self.connection_errors:
            self.collect()  # it had broken already
            raise
        if self.blocked:
            self.collect()
        else:
            super().close(*args, **kwargs)

    def _begin_blocked(self, reason: str) -> None:
        self.blocked = True

    def _end_blocked(self) -> None:
        self.blocked = False


class Transport(pyamqp.Transport):
    """kombu's transport with these connections."""

    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):
    """The same over TLS."""

    Connection = Connection


def register() -> None:
    """Makes these the transports of amqp:// and amqps:// in this process."""
    take_names({"amqp": Transport, "amqps": SSLTransport})
