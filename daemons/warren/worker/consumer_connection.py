"""Celery's consumer at its connection: it says why it has none, and writes heartbeats meanwhile."""

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
    """Celery's consumer, which no error of its connection ends.

    `write_heartbeat` is called at least once a second while the broker is away. `refuse_queue` is
    called with the name of a queue that RabbitMQ does not let the worker declare, and the error; it
    raises what ends the worker.
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
        """Connect, however long it takes: a restart of the worker does not end an outage of the
        broker.
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
                # kombu gives up at a refused password or a missing virtual host. While an operator
                # changes them the running tasks continue; the end of the worker would cut them
                # off, and mend nothing.
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
        """Take in that the connection broke: running tasks continue, and their messages come
        again.
        """
        refused = isinstance(exc, self.channel_errors)
        logger().warning(
            Event.BROKER_LOST,
            reason=str(exc) or type(exc).__name__,
            remedy=remedy(str(exc)) if refused else None,
        )
        # To close what is broken, Redis' transport waits for some answers.
        self._write_heartbeat()
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:  # noqa: BLE001
            # Celery's last step is to close what is broken, at which kombu's Redis transport fails
            # when messages were unacknowledged. The connection is gone by then, and the error would
            # end the worker.
            logger().warning(
                Event.BROKER_LOST, reason=str(error), consequence="the worker connects again"
            )
        if refused:  # and would be again at once: to connect is not what fails
            self._pause()

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        """Take in that Redis takes the connection, and refuses what is asked over it."""
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
        """Connect, and declare every queue of the settings: also those that another host's worker
        consumes.

        Celery binds all of them for delayed delivery, and gives that up where one is missing.
        """
        connection = super().connect()
        ask_for_raisable(self.app, connection)
        for queue in self.app.conf.task_queues:
            try:
                queue(connection.default_channel).declare()
            except ChannelError as error:
                self._refuse_queue(queue.name, error)
        if connection.transport.driver_type == "amqp":
            # Before there is a dead letter: RabbitMQ would log each question for a queue that is
            # not there. Without the permission the worker continues; what it rejects is kept on
            # this host.
            channel = connection.channel()
            with suppress(ChannelError):
                declare_rejected(channel, self.app.conf.task_default_queue_type)
            if channel.is_open:
                channel.close()
        return connection

    def on_close(self) -> None:
        """Drop what no pool child has taken up, as the connection is over: the broker delivers it
        again.
        """
        with suppress(*self.connection_errors, *self.channel_errors):
            self.pool.hear()  # a task that has begun is none of those
        waiting = tuple(reserved_requests - active_requests)
        super().on_close()
        for request in waiting:
            self._admission.drop(request)
        self._crash_counts.disconnected()
