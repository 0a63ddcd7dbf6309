"""The leadership on RabbitMQ: an exclusive queue.

The leader sends over the connection that holds this queue, so a beat that loses the leadership
cannot send. The last ticks are in a queue of one message, where the next leader finds them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from amqp.exceptions import PreconditionFailed, ResourceLocked
from celery import Celery
from kombu import Producer
from kombu.exceptions import OperationalError

from warren.beat.last_ticks import KnownTicks, parse
from warren.broker.batch_publish import BatchPublish, SinglePublish
from warren.broker.publish_timeout import NotTaken
from warren.broker.rabbitmq.reply_results import Backend as Replies
from warren.broker.transport_profiles import Kind, connection
from warren.errors import Unavailable

#: Seconds until a beat that RabbitMQ has refused asks again. RabbitMQ logs each refusal in its own
#: log.
ASK_AGAIN = 3.0


class RabbitMQLeader:
    """The beat whose connection made the leader's queue.

    The queue exists as long as the connection, and no other connection may use the queue.
    """

    def __init__(self, app: Celery, leader: str, ticks: str) -> None:
        """Take the names of the leader's queue (`leader`) and of the queue of the last ticks
        (`ticks`).
        """
        self.app = app
        self._leader, self._ticks = leader, ticks
        self._connection: Any = None
        #: The channel over which this beat sends, and keeps the ticks. A new channel for each
        #: message would cost four more requests.
        self._channel: Any = None
        self._producer: Any = None
        self._leading = False
        self._refused = -ASK_AGAIN

    def lead(self) -> bool:
        with self._reached():
            if self._connection is None:
                self._connection = connection(self.app, Kind.LEADER)
                self._connection.ensure_connection(max_retries=1, interval_start=0)
            if not self._leading and time.monotonic() - self._refused >= ASK_AGAIN:
                self._ask()
            self._keep_alive()
        return self._leading

    def recall(self) -> KnownTicks:
        with self._reached():
            # The queue may exist with the type of an earlier [broker] queue_type, which does as
            # well.
            with suppress(PreconditionFailed):
                self._declare(self._open())
            channel = self._open()
            message = channel.basic_get(self._ticks)
            known = parse(message.body) if message is not None else KnownTicks()
            if message is not None:
                # A fresh copy is published before the old message is acknowledged. So a queue that
                # counts returns never loses the message. When beat is killed in between, there are
                # two messages, and the queue drops the older message.
                self._publish(channel, known)
                channel.basic_ack(message.delivery_tag)
        return known

    def keep(self, known: KnownTicks) -> None:
        with self._reached():
            self._publish(self._open(), known)

    def options(self) -> dict[str, Any]:
        # This backend sends a result to the process that sent the task, and beat reads no results.
        # To receive results, Celery would first ask the broker for a queue: without a time limit,
        # and over any connection that Celery can make. Such a beat would send without being the
        # leader.
        unread = {"ignore_result": True} if isinstance(self.app.backend, Replies) else {}
        with self._reached():
            self._open()
        return {"producer": self._producer, **unread}

    def batch(self) -> SinglePublish:
        with self._reached():
            return BatchPublish(self._open())

    def wait(self, batch: SinglePublish) -> None:
        with self._reached():
            try:
                batch.wait()
            except self._connection.channel_errors:
                # The broker has closed the channel because of one message; the connection is
                # intact.
                batch.refuse_unanswered()

    def resign(self) -> None:
        connection, self._connection, self._leading = self._connection, None, False
        self._channel = self._producer = None
        if connection is not None:
            with suppress(OSError, *connection.connection_errors, *connection.channel_errors):
                connection.close()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn errors of the connection into Unavailable, and resign.

        A beat that loses its connection loses the leadership: the broker removes the leader's queue
        with the connection. The first beat that asks then becomes the leader.
        """
        try:
            yield
        except NotTaken:
            raise  # During an alarm the connection stands, and so does the leadership.
        except Exception as error:
            known = (
                ()
                if self._connection is None
                else (*self._connection.connection_errors, *self._connection.channel_errors)
            )
            if not isinstance(error, (OperationalError, OSError, *known)):
                raise
            self.resign()
            raise Unavailable(str(error) or type(error).__name__) from error

    def _open(self) -> Any:
        if self._connection is None or not self._connection.connected:
            # kombu would connect again, but without the leader's queue.
            raise ConnectionResetError("the connection was lost")
        if self._channel is None or not self._channel.is_open:
            self._channel = self._connection.channel()
            self._producer = Producer(self._channel, auto_declare=False)
        return self._channel

    def _ask(self) -> None:
        channel = self._connection.channel()
        try:
            channel.queue_declare(self._leader, exclusive=True, durable=False, auto_delete=False)
        except ResourceLocked:
            # Another beat leads; the broker has only closed the channel of this request.
            self._refused = time.monotonic()
        else:
            channel.close()
            self._leading = True

    def _keep_alive(self) -> None:
        """Send and read heartbeats of the connection.

        When the broker has dropped the connection, the leader must notice this before it sends.
        """
        if not self._connection.connected:
            # At any request kombu would connect again by itself. Then this beat would send without
            # the leader's queue.
            raise ConnectionResetError(
                "the connection was dropped: the broker had not answered in time"
            )
        self._connection.heartbeat_check()
        with suppress(TimeoutError):
            self._connection.drain_events(timeout=0.001)

    def _declare(self, channel: Any) -> None:
        arguments = {
            "x-max-length": 1,
            "x-overflow": "drop-head",
            "x-queue-type": self.app.conf.task_default_queue_type,
        }
        channel.queue_declare(self._ticks, durable=True, auto_delete=False, arguments=arguments)

    def _publish(self, channel: Any, known: KnownTicks) -> None:
        message = channel.prepare_message(
            known.as_json(), None, "application/json", "utf-8", None, {"delivery_mode": 2}
        )
        channel.basic_publish(message, exchange="", routing_key=self._ticks)
