"""The connection of Celery's consumer.

While there is no connection, this class logs why, and writes heartbeats.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from amqp.exceptions import ChannelError
from celery.worker.state import active_requests, maybe_shutdown, reserved_requests

from warren.app.queues import declare_rejected
from warren.broker.remedies import remedy
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.redaction.masker import redact
from warren.worker.admission import Admission
from warren.worker.consumed_queues import TakenQueues
from warren.worker.crash_counts import CrashCounts
from warren.worker.prefetch import ask_for_raisable

#: Seconds between two attempts at a broker that refuses the worker.
_REFUSED_PAUSE = 2


class ConnectedConsumer(TakenQueues):
    """Celery's consumer, which continues after any error of its connection.

    write_heartbeat: called at least once a second while the broker is away. refuse_queue: called
    with the name of a queue and the error when RabbitMQ does not let the worker declare the queue;
    it raises the exception that ends the worker.
    """

    def __init__(
        self,
        *arguments: Any,
        admission: Admission,
        crash_counts: CrashCounts,
        write_heartbeat: Callable[[], None],
        refuse_queue: Callable[[str, Exception], None],
        **options: Any,
    ) -> None:
        self._admission = admission
        self._crash_counts = crash_counts
        self._write_heartbeat = write_heartbeat
        self._refuse_queue = refuse_queue
        super().__init__(*arguments, **options)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long that takes.

        A restart of the worker would not end an outage of the broker.
        """

        def failed(error: BaseException, interval: float) -> None:
            logger().error(
                Event.BROKER_UNREACHABLE,
                broker=redact(conn.as_uri(include_password=True)),
                reason=str(error) or type(error).__name__,
                retry_in_s=interval,
                remedy=remedy(str(error)),
            )

        def waiting() -> None:
            self._write_heartbeat()
            maybe_shutdown()

        # An attempt may take long, and the heartbeat should say what the worker waits for.
        self._write_heartbeat()
        connected = None
        while connected is None:
            try:
                # At most 2 s between two attempts, so that tasks run again within 5 s of the
                # broker's return.
                connected = conn.ensure_connection(
                    failed,
                    None,
                    interval_start=1,
                    interval_step=1,
                    interval_max=2,
                    callback=waiting,
                )
            except (*conn.connection_errors, *conn.channel_errors) as error:
                # kombu gives up after a refused password or a missing virtual host. The running
                # tasks continue until an operator has corrected that. An end of the worker would
                # cut the tasks off, and correct nothing.
                failed(error, _REFUSED_PAUSE)
                conn.maybe_switch_next()
                for _ in range(_REFUSED_PAUSE):
                    waiting()
                    time.sleep(1)
        self.first_connection_attempt = False
        self.broker_connection_retry_attempt = 0
        logger().info(Event.BROKER_CONNECTED, broker=redact(conn.as_uri(include_password=True)))
        return connected

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Handle a broken connection.

        Running tasks continue, and the broker delivers their messages again.
        """
        refused = isinstance(exc, self.channel_errors)
        logger().warning(
            Event.BROKER_LOST,
            reason=str(exc) or type(exc).__name__,
            remedy=remedy(str(exc)) if refused else None,
        )
        # Written now, because Redis' transport waits for some answers when it closes the broken
        # connection.
        self._write_heartbeat()
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:  # noqa: BLE001
            # Celery's last step is to close what is broken. kombu's Redis transport fails in this
            # step when messages were unacknowledged. The connection is gone by then, and the error
            # would end the worker.
            logger().warning(
                Event.BROKER_LOST, reason=str(error), consequence="the worker connects again"
            )
        if refused:  # without the pause it is refused again at once, because connecting succeeds
            self._pause()

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        """Handle a Redis that accepts the connection and then refuses the commands."""
        logger().warning(
            Event.BROKER_LOST, reason=str(exc) or type(exc).__name__, remedy=remedy(str(exc))
        )
        self._pause()

    def _pause(self) -> None:
        for _ in range(_REFUSED_PAUSE):
            self._write_heartbeat()
            maybe_shutdown()
            time.sleep(1)

    def connect(self) -> Any:
        """Connect, and declare every queue of the settings, also queues that only other hosts
        consume.

        Celery binds all of these queues for delayed delivery. If one of them is missing, Celery
        binds none.
        """
        connection = super().connect()
        ask_for_raisable(self.app, connection)
        for queue in self.app.conf.task_queues:
            try:
                queue(connection.default_channel).declare()
            except ChannelError as error:
                self._refuse_queue(queue.name, error)
        if connection.transport.driver_type == "amqp":
            # Declared before there is a dead letter: RabbitMQ logs each passive declaration of a
            # missing queue. Without the permission the worker continues, and keeps rejected
            # messages on this host.
            channel = connection.channel()
            with suppress(ChannelError):
                declare_rejected(channel, self.app.conf.task_default_queue_type)
            if channel.is_open:
                channel.close()
        return connection

    def on_close(self) -> None:
        """Drop the tasks that no pool child has begun: the broker will deliver them again."""
        with suppress(*self.connection_errors, *self.channel_errors):
            self.pool.hear()  # a task that has begun must not be dropped
        waiting = tuple(reserved_requests - active_requests)
        super().on_close()
        for request in waiting:
            self._admission.drop(request)
        self._crash_counts.disconnected()
