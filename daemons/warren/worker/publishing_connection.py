"""The connection by which a worker sends copies of messages to RabbitMQ.

On RabbitMQ the consuming connection must never publish. Under a disk or memory alarm the broker
stops reading from each client that publishes, so it would not read acknowledgements either, and the
worker would no longer drain the queue that fills the disk. So copies are sent over a connection of
their own. The main loop waits for no copy. When the publishing connection breaks, the consuming
connection stays: its end would make every running task run twice.
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

#: Seconds until the next attempt to connect: an attempt may block the main loop for
#: connect_timeout.
RETRY = 10.0
#: The errors of this connection and of its channels.
ERRORS = (OperationalError, *Transport.connection_errors, *Transport.channel_errors)


class PublishingConnection:
    """A connection that is made when a copy has to be sent, with the broker's answers over it.

    lost: called when the connection breaks. Copies that were on their way get no answer any more.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._consumer: Any = None
        self._connection: Any = None  # py-amqp's: kombu's would connect again by itself
        self.channel: Any = None
        self._handle = -1
        self._next_attempt = float("-inf")
        #: Whether the broker was asked if it takes messages, and has said so. And when it last took
        #: a message, in seconds (monotonic).
        self.asking = self.asked = False
        self._heard = float("-inf")
        #: Queues whose declaration was granted over this connection.
        self.declared: set[str] = set()

    def begin(self, consumer: Any) -> None:
        """Begin with a new connection of the worker.

        The publishing connection is made again when it is needed.
        """
        self.drop()
        self._consumer, self._next_attempt = consumer, float("-inf")

    @property
    def is_open(self) -> bool:
        """Return whether the connection is open."""
        return self._connection is not None

    @property
    def blocked(self) -> bool:
        """Return whether RabbitMQ takes no messages at the moment."""
        return self._connection is not None and bool(self._connection.blocked)

    @property
    def sock(self) -> Any:
        """Return the socket."""
        return self._connection.sock

    def open(self) -> bool:
        """Connect, unless the last attempt is too recent; return whether the connection is open.

        Raises an error of the connection.
        """
        if self._connection is not None:
            return True
        if time.monotonic() < self._next_attempt:
            return False
        self._next_attempt = time.monotonic() + RETRY
        wanted = connection(self._consumer.app, Kind.REQUEUE)
        # one attempt for each of several URLs
        wanted.ensure_connection(max_retries=max(0, len(wanted.alt) - 1))
        self._connection = wanted.connection
        self.channel = self._connection.channel()
        self._handle = self._connection.sock.fileno()
        self._consumer.hub.add_reader(self._handle, self._readable)
        return True

    def other_channel(self) -> Any:
        """Return a new channel for a request that the broker may refuse: a refusal closes the
        channel.
        """
        return self._connection.channel()

    def keep_alive(self) -> None:
        """If the connection is open, send a heartbeat and read what the broker has sent."""
        if self._connection is not None:
            # The broker closes a connection without two heartbeats in a row.
            self._connection.heartbeat_tick()
            self._read()

    # -- alarms ------------------------------------------------------------------------------------

    def ask(self, answered: Callable[[], None]) -> None:
        """Ask the broker whether it takes messages.

        answered: called when the broker takes messages.
        """

        def taken(_: bool) -> None:
            self.asking, self.asked = False, True
            self.heard()
            answered()

        self.asking = True
        self.channel.publish_later(taken, question(), exchange="", routing_key=NOWHERE)

    def heard(self) -> None:
        """Note that the broker has just taken a message."""
        self._heard = time.monotonic()

    @property
    def heard_lately(self) -> bool:
        """Return whether the broker took a message within the last SILENCE seconds."""
        return time.monotonic() - self._heard < SILENCE

    # -- the end -----------------------------------------------------------------------------------

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep an error of this connection away from the consuming connection.

        This connection is then made again, and copies that were on their way are sent again. The
        broker may have taken such a copy already: then the task is there twice, but it is never
        lost.
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
        """Close the connection, and forget the broker's answers over it."""
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
