"""The transport of RabbitMQ: every request and every publish ends in bounded time.

A RabbitMQ that is low on disk or memory stops reading from each connection that publishes. Such a
connection then gets no confirmation and no other answer, not even the answer to a close. kombu's
own transport waits for all of these without a limit. The broker says that it stops reading
(connection.blocked) only after the first message was sent.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from amqp import spec
from amqp.serialization import loads
from kombu.transport import pyamqp

from warren.broker.deadline import Deadline
from warren.broker.publish_timeout import NotTaken
from warren.broker.rabbitmq.answer_timeout import AnswerTimeout
from warren.broker.rabbitmq.confirming_channel import Channel
from warren.broker.rabbitmq.frames import bounded_handler
from warren.broker.transport_registry import take_names


class Connection(AnswerTimeout, pyamqp.Connection):
    """A connection that knows whether the broker reads from it.

    publish_timeout: seconds; None: no limit. largest_message: bytes of a body; None: no limit.
    """

    Channel = Channel

    def __init__(
        self,
        *args: Any,
        publish_timeout: float | None = None,
        largest_message: int | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs |= {
            "on_blocked": self._begin_blocked,
            "on_unblocked": self._end_blocked,
            "frame_handler": bounded_handler,
        }
        super().__init__(*args, **kwargs)
        self.publish_timeout = publish_timeout
        self.largest_message = largest_message
        self.blocked = False
        #: Why the broker does not read this connection, in the broker's text; empty while it reads.
        self.blocked_reason = ""
        #: When the expected answer is due (monotonic seconds); None while no answer is expected.
        self.answer_by: float | None = None

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Read one frame as py-amqp does.

        Raises TimeoutError; also when the time for an expected answer is over.
        """
        if self.answer_by is not None:
            left = self.answer_by - time.monotonic()
            if left <= 0:
                raise TimeoutError("the broker did not answer in time")
            timeout = left if timeout is None else min(timeout, left)
        return super().blocking_read(timeout)

    def dispatch_method(self, method_sig: Any, payload: Any, content: Any) -> Any:
        """Dispatch a frame for the connection itself, and keep the reason of a block.

        py-amqp says that a connection is blocked but drops the text that says why.
        """
        if method_sig == spec.Connection.Blocked:
            (self.blocked_reason,), _ = loads("s", payload, 4)
        return super().dispatch_method(method_sig, payload, content)

    def look(self) -> None:
        """Read what the broker has sent so far, without waiting."""
        with suppress(TimeoutError):
            while self.connected:
                self.blocking_read(0)

    def until_unblocked(self, deadline: Deadline) -> None:
        """Return when the broker, by its answers so far, reads this connection.

        Raises NotTaken after the deadline.
        """
        while self.blocked:
            if deadline.left == 0:
                raise NotTaken(deadline.length or 0.0, blocked=True, sent=False)
            with suppress(TimeoutError):
                # One frame only: drain_events would begin to count its time again at each
                # heartbeat.
                self.blocking_read(deadline.left)

    def given_up(self, waited: float | None, sent: bool) -> NotTaken:
        """Return the error for a message that was not confirmed."""
        blocked = self.blocked
        if not blocked:
            # A broker that is silent and gives no reason hangs. The next message gets a new
            # connection.
            self.collect()
        return NotTaken(waited or 0.0, blocked, sent)

    def close(self, *args: Any, **kwargs: Any) -> None:
        """Close the connection.

        A blocked connection is only dropped, because the broker would not answer a close.
        """
        try:
            self.look()
        except self.connection_errors:
            self.collect()  # the connection was broken before
            raise
        if self.blocked:
            self.collect()
        else:
            super().close(*args, **kwargs)

    def _begin_blocked(self, reason: str) -> None:
        self.blocked = True

    def _end_blocked(self) -> None:
        self.blocked, self.blocked_reason = False, ""


class Transport(pyamqp.Transport):
    """kombu's transport, with the connections of this module."""

    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):
    """kombu's transport over TLS, with the connections of this module."""

    Connection = Connection


def register() -> None:
    """Make these the transports of amqp:// and amqps:// in this process."""
    take_names({"amqp": Transport, "amqps": SSLTransport})
