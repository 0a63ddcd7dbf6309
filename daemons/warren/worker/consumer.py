"""Celery's consumer with Warren's words for trouble, and a heartbeat that beats while there is no
broker.

`worker_consumer` is Celery's documented setting for this class.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from amqp.exceptions import ChannelError
from celery import signals
from celery.exceptions import NotRegistered
from celery.utils.objects import Bunch
from celery.worker.state import active_requests, maybe_shutdown, reserved_requests
from kombu.exceptions import ContentDisallowed

from warren.app.queues import declare_rejected
from warren.broker.redis.lost_messages import LOST
from warren.broker.remedies import remedy
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.redaction.masker import redact
from warren.worker.consumed_queues import TakenQueues
from warren.worker.current_message import CurrentMessage
from warren.worker.message_address import restore_address
from warren.worker.message_checks import malformed, settle
from warren.worker.prefetch import ask_for_raisable
from warren.worker.prefetch_room import raising_at_once
from warren.worker.rejection import at_its_own_cost, reject

#: Seconds between two attempts at a broker that refuses the worker.
_REFUSED_PAUSE = 2
_logger = logging.getLogger(__name__)


class Consumer(TakenQueues):
    """Consumes the worker's queues.

    `write_heartbeat` is called at least once a second while the broker is away.
    """

    write_heartbeat: ClassVar[Any] = staticmethod(lambda: None)
    #: Called with each request that a broken connection took from the worker before a pool child
    #: had said that it runs it.
    dropped: ClassVar[Any] = staticmethod(lambda request: None)
    #: Called when a connection is over, and what it carried with it.
    over: ClassVar[Any] = staticmethod(lambda: None)
    #: Called with each request that is to run, and with what runs it.
    admit: ClassVar[Any] = staticmethod(lambda request, run: run(request))
    #: Called with the name of a queue that RabbitMQ does not let the worker declare, and its error;
    #: raises what ends the worker.
    refused: ClassVar[Any] = staticmethod(lambda name, error: None)
    #: Called with a message that cannot be run, the reason, and what acknowledges it.
    keep: ClassVar[Any] = staticmethod(lambda message, reason, done: done())
    #: Called with a message of a task that this worker does not have; whether it continues to
    #: others.
    send_on: ClassVar[Any] = staticmethod(lambda consumer, message: False)
    #: Called with a message that nobody can run; and with one that can be run: whether it went
    #: back.
    foul: ClassVar[Any] = staticmethod(lambda message: None)
    surplus: ClassVar[Any] = staticmethod(lambda message: False)
    #: Called with a message that can be run; whether it went back to the broker, for it is due
    #: later.
    postpone: ClassVar[Any] = staticmethod(lambda message: False)
    #: Messages delivered to this process so far; the supervisor takes one that is connected and
    #: gets none for stuck.
    taken: ClassVar[int] = 0
    #: Which of them it is looking at.
    in_hand: ClassVar[CurrentMessage]
    #: How many of them it rejected.
    rejected: ClassVar[int] = 0
    #: The connection, by its number, over which Redis did not take an answer to a message.
    _unanswered = -1

    def __init__(
        self, on_task_request: Callable[[Any], None], *arguments: Any, **options: Any
    ) -> None:
        super().__init__(
            lambda request: type(self).admit(request, on_task_request), *arguments, **options
        )
        #: Redis' tags of the messages whose tasks are done, which it has not been told yet.
        self._unacknowledged: deque[str] = deque()
        #: Keeps a message that was found well formed in memory, and runs it when it is due.
        self.keep_until_due: Callable[[Any], None] = lambda message: None

    # -- connection --------------------------------------------------------------------------------

    def ensure_connected(self, conn: Any) -> Any:
        """Connects, however long it takes: an outage of the broker is not mended by a restart of
        the worker.
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
            type(self).write_heartbeat()
            maybe_shutdown()

        type(
            self
            # An attempt may take long, and the heartbeat should say what it is waiting for.
        ).write_heartbeat()
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
                # changes them the running tasks go on; the end of the worker would cut them off,
                # and mend nothing.
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
        """The connection broke: running tasks go on, and their messages come again."""
        refused = isinstance(exc, self.channel_errors)
        logger().warning(
            Event.BROKER_LOST,
            reason=str(exc) or type(exc).__name__,
            remedy=remedy(str(exc)) if refused else None,
        )
        type(
            self
            # To close what is broken takes Redis' transport some waits for an answer.
        ).write_heartbeat()
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:  # noqa: BLE001
            # The last of it is to close what is broken, at which kombu's Redis transport fails when
            # messages were unacknowledged. The connection is gone by then, and the error would end
            # the worker.
            logger().warning(
                Event.BROKER_LOST, reason=str(error), consequence="the worker connects again"
            )
        if refused:  # and will be again at once: to connect is not what fails
            self._pause()

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        """Redis takes the connection, and refuses what is asked over it."""
        logger().warning(
            Event.BROKER_LOST, reason=str(exc) or type(exc).__name__, remedy=remedy(str(exc))
        )
        self._pause()

    def _pause(self) -> None:
        for _ in range(_REFUSED_PAUSE):
            type(self).write_heartbeat()
            maybe_shutdown()
            time.sleep(1)

    def connect(self) -> Any:
        """Connects, and declares every queue of the settings: also those that another host's worker
        consumes.

        Celery binds all of them for delayed delivery, and gives that up where one is missing.
        """
        connection = super().connect()
        ask_for_raisable(self.app, connection)
        for queue in self.app.conf.task_queues:
            try:
                queue(connection.default_channel).declare()
            except ChannelError as error:
                type(self).refused(queue.name, error)
        if connection.transport.driver_type == "amqp":
            # Before there is a dead letter: RabbitMQ would log each question for a queue that is
            # not there. Without the right the worker continues; what it rejects is kept on this
            # host.
            channel = connection.channel()
            with suppress(ChannelError):
                declare_rejected(channel, self.app.conf.task_default_queue_type)
            if channel.is_open:
                channel.close()
        return connection

    def check_answers(self) -> None:
        """Tells Redis what is done and it did not take.

        Raises an error of the connection, at which Celery connects again.
        """
        if self._unanswered == self.restart_count:
            raise ConnectionResetError("the broker did not take an answer to a message in time")
        while self._unacknowledged:
            self.task_consumer.channel.qos.ack(self._unacknowledged[0])
            # Not before: an acknowledgement that fails is owed still, and twice does no harm.
            self._unacknowledged.popleft()

    def _is_at_work(self, tag: str) -> bool:
        return tag in self._unacknowledged or any(
            request.message.delivery_tag == tag for request in active_requests
        )

    def _noticing(
        self, message: Any, answer: Callable[..., None], done: bool
    ) -> Callable[..., None]:
        """`answer`, Celery's acknowledgement (`done`) or rejection, whose failure Celery logs and
        forgets.

        RabbitMQ's connection is broken then, and says so. Redis takes each answer by whatever
        connection is there: the one that consumes stands, the message keeps its place in the
        prefetch, and with all places taken the worker would wait for ever. Redis knows a message by
        its tag on any connection, so that what is done need not run again.
        """
        connection = self.restart_count

        def noticed(*arguments: Any, **options: Any) -> None:
            over = self.restart_count != connection
            # Each attempt at a broker that hangs holds up the main loop: one is enough.
            if self._unanswered != connection and not (over and done):
                # Redis takes no writes: it is told when it does
                try:
                    answer(*arguments, **options)
                except self.channel_errors as error:
                    _logger.warning("Redis did not take an answer to a message: %s", error)
                if not message.acknowledged:
                    self._unanswered = connection
            if done and not message.acknowledged:
                self._unacknowledged.append(message.delivery_tag)

        return noticed

    def on_close(self) -> None:
        """The connection is over: what no pool child has taken up is dropped, and the broker
        delivers it again.
        """
        with suppress(*self.connection_errors, *self.channel_errors):
            self.pool.hear()  # a task that has begun is none of those
        waiting = tuple(reserved_requests - active_requests)
        super().on_close()
        for request in waiting:
            type(self).dropped(request)
        type(self).over()

    # -- messages that cannot be run ---------------------------------------------------------------
    # Celery's own handlers write the whole body into the log. Warren logs no arguments, and rejects
    # rather than deletes.

    def create_task_handler(self, **options: Any) -> Callable[[Any], None]:
        """Celery's handler behind a check of the message's shape: no message may end the worker."""
        handle = raising_at_once(self, super().create_task_handler(**options))
        errors = (*self.connection_errors, *self.channel_errors)
        redis = self.connection.transport.driver_type == "redis"
        if redis:
            LOST.at_work = self._is_at_work

        self.keep_until_due = at_its_own_cost(handle, errors, self._reject)
        looked_at = at_its_own_cost(partial(self._look, handle), errors, self._reject)

        def checked(message: Any) -> None:
            Consumer.taken += 1
            restore_address(message)
            if redis:
                message.ack_log_error = self._noticing(message, message.ack_log_error, done=True)
                message.reject_log_error = self._noticing(
                    message, message.reject_log_error, done=False
                )
            try:
                looked_at(message)
            except errors:
                self.in_hand.clear()
                raise
            # Not at an error of another kind: that one ends the worker, and the message is to
            # blame.
            self.in_hand.clear()

        return checked

    def _look(self, handle: Callable[[Any], None], message: Any) -> None:
        problem = self.in_hand.refusal() or malformed(message)
        if problem:
            type(self).foul(message)
            self._reject(message, problem, None)
            return
        settle(message.headers)
        if not type(self).surplus(message) and not type(self).postpone(message):
            handle(message)

    def unsendable(self, message: Any) -> None:
        """A task that is due later and cannot go back to the broker, when too many are kept
        already.
        """
        self._reject(
            message,
            (
                "expected a task that can be sent back until it is due, found what no copy can be "
                "made of"
            ),
            None,
        )

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """A message that is no task message at all."""
        self._reject(message, "expected a task message (headers task and id), found neither", None)

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """A message that is not JSON."""
        self._reject(
            message, f"expected a JSON body, found {type(exc.__cause__ or exc).__name__}", exc
        )

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """A task message whose fields are not of the protocol."""
        expected = (
            "JSON and nothing else"
            if isinstance(exc, ContentDisallowed)
            else "a valid task message"
        )
        self._reject(message, f"expected {expected}, found: {exc}", exc)

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """A task that no module of this worker registers: whoever waits for its result is told."""
        headers = message.headers or {}
        if type(self).send_on(self, message):
            return
        name, task_id = headers.get("task"), headers.get("id")
        self._reject(
            message,
            f"expected a task of this worker, found {name!r}; add its module to [app] modules",
            exc,
        )
        request = Bunch(
            name=name,
            chord=None,
            root_id=headers.get("root_id"),
            correlation_id=message.properties.get("correlation_id"),
            reply_to=message.properties.get("reply_to"),
            errbacks=None,
        )
        if task_id:
            self.app.backend.mark_as_failure(task_id, NotRegistered(name), request=request)
        signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=task_id)

    def _reject(self, message: Any, reason: str, exc: BaseException | None) -> None:
        Consumer.rejected += 1
        # The connection's own errors are logged: the message is delivered again, and rejected then.
        done = partial(message.ack_log_error, _logger, self.connection_errors)
        reject(
            message,
            reason,
            self.connection.as_uri(),
            partial(type(self).keep, message, reason, done),
        )
        signals.task_rejected.send(sender=self, message=message, exc=exc)
