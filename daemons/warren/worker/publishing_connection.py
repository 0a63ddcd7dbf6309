"""The connection by which a worker sends copies of messages to RabbitMQ, beside the one by which it
consumes.

On RabbitMQ the connection that consumes must never publish. Under a disk or memory alarm the broker
stops reading from each client that publishes, acknowledgements included, and the worker would no
longer drain the queue that fills the disk. So copies leave by a connection of their own. The main
loop waits for none of them, and when that connection breaks the consuming one stays: its end would
have every running task run twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kombu.exceptions import OperationalError

from warren.broker.rabbitmq.confirming_channel import NOWHERE, SILENCE, question
from warren.broker.rabbitmq.connection import Transport
from warren.broker.transport_profiles import Kind, connection
from warren.logs.events import Event
from warren.logs.setup import logger

#: Seconds until the broker is asked for a connection again: an attempt may hold up the main loop
#: for connect_timeout.
RETRY = 10.0
#: The errors of this connection and of its channels.
ERRORS = (OperationalError, *Transport.connection_errors, *Transport.channel_errors)


class PublishingConnection:
    """A connection that is made when a copy is to be sent, and what the broker has said over it.

    `lost` is called when it breaks: what was on its way has no answer any more.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._consumer: Any = None
        self._connection: Any = None  # py-amqp's: kombu's would connect again by itself
        self.channel: Any = None
        self._handle = -1
        self._next_attempt = float("-inf")
        #: Whether the broker was asked if it takes messages, and has said so; and when it last took
        #: one, in seconds (monotonic).
        self.asking = self.asked = False
        self._heard = float("-inf")
        #: Queues whose declaration was granted over this connection.
        self.declared: set[str] = set()

    def begin(self, consumer: Any) -> None:
        """Take up a new connection of the worker: this one is made again when it is needed."""
        self.drop()
        self._consumer, self._next_attempt = consumer, float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether the connection is there."""
        return self._connection is not None

    @property
    def blocked(self) -> bool:
        """Whether RabbitMQ takes no messages just now."""
        return self._connection is not None and bool(self._connection.blocked)

    @property
    def sock(self) -> Any:
        """The socket."""
        return self._connection.sock

    def open(self) -> bool:
        """Connect, unless the last attempt is too recent; return whether the connection is there.

        Raises an error of the connection.
        """
        if self._connection is not None:
            return True
        if time.monotonic() < self._next_attempt:
            return False
        self._next_attempt = time.monotonic() + RETRY
        wanted = connection(self._consumer.app, Kind.REQUEUE)
        # each of several URLs once
        wanted.ensure_connection(max_retries=max(0, len(wanted.alt) - 1))
        self._connection = wanted.connection
        self.channel = self._connection.channel()
        self._handle = self._connection.sock.fileno()
        self._consumer.hub.add_reader(self._handle, self._readable)
        return True

    def other_channel(self) -> Any:
        """Return a new channel for what the broker may refuse: a refusal closes its channel."""
        return self._connection.channel()

    def keep_alive(self) -> None:
        """Send a heartbeat and read what the broker has said, if the connection is there."""
        if self._connection is not None:
            # The broker closes a connection that is silent for two of them.
            self._connection.heartbeat_tick()
            self._read()

    # -- alarms ------------------------------------------------------------------------------------

    def ask(self, answered: Callable[[], None]) -> None:
        """Ask the broker whether it takes messages; `answered` is called when it does."""

        def taken(_: bool) -> None:
            self.asking, self.asked = False, True
            self.heard()
            answered()

        self.asking = True
        self.channel.publish_later(taken, question(), exchange="", routing_key=NOWHERE)

    def heard(self) -> None:
        """Note that the broker has taken a message now."""
        self._heard = time.monotonic()

    @property
    def heard_lately(self) -> bool:
        """Whether the broker took a message within the last SILENCE seconds."""
        return time.monotonic() - self._heard < SILENCE

    # -- the end -----------------------------------------------------------------------------------

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep an error of this connection from the consuming one: this one is made again, and what
        was on its way is sent again.

        The broker may have taken that already: then the task is there twice, and never not at all.
        """
        try:
            yield
        except ERRORS as error:
            consequence = "messages on their way back to their queues wait; other tasks continue"
            logger().warning(
                Event.BROKER_LOST,
                reason=str(error) or type(error).__name__,
                consequence=consequence,
            )
            self._lost()
            self.drop()

    def drop(self) -> None:
        """Close the connection, and forget what the broker has said over it."""
        connection, self._connection, self.channel = self._connection, None, None
        self.asking = self.asked = False
        self.declared.clear()
        self._heard = float("-inf")
        if connection is not None:
            self._consumer.hub.remove_reader(self._handle)
            connection.collect()

    def _readable(self) -> None:
        with self.guarded():
            self._read()

    def _read(self) -> None:
        self._connection.look()
        if not self._connection.connected:
            raise ConnectionResetError("the connection was closed")
