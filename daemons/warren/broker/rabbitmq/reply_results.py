"""Results on RabbitMQ: messages to the process that sent the task."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from celery._state import task_join_will_block
from celery.backends.rpc import ResultConsumer as RPCResultConsumer
from celery.backends.rpc import RPCBackend
from celery.states import EXCEPTION_STATES
from kombu.common import maybe_declare
from kombu.pools import ProducerPool

from warren.broker.decompression import TooLarge
from warren.broker.result_validation import Checked, UnreadableResult, failed, unreadable
from warren.broker.transport_profiles import Kind, connection
from warren.logs.events import Event
from warren.logs.setup import logger


class ResultConsumer(RPCResultConsumer):
    """Celery's reader of replies, which survives a reply that is not a result.

    Such a reply becomes an error of its task.
    """

    def start(self, initial_task_id: str, no_ack: bool = True, **kwargs: Any) -> None:
        """Start as Celery does; also handle replies that cannot be decoded."""
        super().start(initial_task_id, no_ack, **kwargs)
        self._consumer.on_decode_error = self._not_decoded

    def _reconnect(self) -> None:
        super()._reconnect()
        self._consumer.on_decode_error = self._not_decoded

    def on_state_change(self, meta: Any, message: Any) -> None:
        """Check a reply, and then handle it as Celery does."""
        super().on_state_change(self.backend.readable(meta, message), message)

    def _not_decoded(self, message: Any, error: Exception) -> None:
        """Handle a reply that is not JSON, or that is larger than this process accepts."""
        self.on_state_change(unreadable(error), message)


class Backend(Checked, RPCBackend):
    """Celery's rpc backend, whose results never wait for the broker.

    While RabbitMQ takes no messages, it continues to deliver tasks, and running these tasks makes
    room. If a result waited for its confirmation, its task could not end. If results shared the
    connection over which a task sends other tasks, they would block these tasks. So results have a
    connection of their own, and are only written to it: the broker reads them when it takes
    messages again.
    """

    ResultConsumer = ResultConsumer
    _producers: ProducerPool | None = None
    _owner = 0

    @property
    def binding(self) -> Any:
        """Return the queue of this process's results.

        The queue is deleted when the process that reads it ends, or when it was not used for the
        time that results are kept. No result in the queue is kept for longer, even while the
        process sends more tasks.
        """
        return self.Queue(
            self.oid,
            self.exchange,
            self.oid,
            durable=False,
            auto_delete=True,
            expires=self.expires,
            message_ttl=self.expires,
        )

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Declare the queue of the result before a task is sent.

        Raises OperationalError when there is no broker. Celery's own method would try for ever, and
        the sender would hang for as long as the broker is away.
        """
        if not task_join_will_block():
            maybe_declare(
                self.binding(producer.channel),
                retry=True,
                **self.app.conf.task_publish_retry_policy,
            )

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Send the result to the queue that the task names.

        Raises OperationalError when there is no broker.
        """
        routing_key, correlation_id = self.destination_for(task_id, request)
        if not routing_key:
            return None
        try:
            self._send(
                routing_key,
                correlation_id,
                self._to_result(task_id, state, result, traceback, request),
            )
        except TooLarge as error:
            if state not in EXCEPTION_STATES:
                raise  # with this error Celery fails the task
            self._send(
                routing_key, correlation_id, self._to_result(task_id, state, error, None, request)
            )
        return result

    def readable(self, meta: Any, message: Any) -> dict[str, Any]:
        """Return the result in a reply.

        For a reply that is not a result, returns a failure of the task to which the reply is
        addressed.
        """
        task_id = (message.properties or {}).get("correlation_id")
        try:
            if isinstance(meta, UnreadableResult):
                raise meta
            if not isinstance(self.meta_from_decoded(meta).get("task_id"), str):
                raise UnreadableResult("expected a task_id that is a text")
        except UnreadableResult as error:
            logger().error(Event.RESULT_UNREADABLE, task_id=str(task_id)[:200], reason=str(error))
            return failed(str(task_id), error)
        return meta  # type: ignore[no-any-return]

    def _slurp_from_queue(
        self, task_id: str, accept: Any, limit: int = 1000, no_ack: bool = False
    ) -> Iterator[Any]:
        """Read replies as Celery does, without the replies that are not results.

        Each of these has become a failure of its task.
        """
        for message in super()._slurp_from_queue(task_id, accept, limit, no_ack):
            try:
                meta = message.payload
            except Exception as error:  # noqa: BLE001  the bytes may be of any sender
                meta = unreadable(error)
            checked = self.readable(meta, message)
            if checked is meta:
                yield message
                continue
            self._cache[checked["task_id"]] = checked
            if not no_ack:
                message.ack()

    def _send(self, routing_key: str, correlation_id: str, result: Any) -> None:
        with self._pool().acquire(block=True) as producer:
            producer.publish(
                result,
                exchange=self.exchange,
                routing_key=routing_key,
                correlation_id=correlation_id,
                serializer=self.serializer,
                retry=True,
                retry_policy=self.retry_policy,
                delivery_mode=self.delivery_mode,
            )

    def _pool(self) -> ProducerPool:
        """Return the pool of this process.

        After a fork the child must neither use nor close its parent's sockets, so it gets a new
        pool.
        """
        if self._producers is None or self._owner != os.getpid():
            connections = connection(self.app, Kind.RESULTS).Pool(1)
            self._producers, self._owner = ProducerPool(connections, limit=1), os.getpid()
        return self._producers
