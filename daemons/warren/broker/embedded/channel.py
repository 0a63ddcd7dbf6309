"""The AMQP channel on the directories of the embedded broker."""

from __future__ import annotations

import errno
import time
from contextlib import suppress
from queue import Empty
from typing import Any

from amqp.protocol import queue_declare_ok_t
from kombu.exceptions import ChannelError
from kombu.transport import virtual
from kombu.utils.json import dumps
from kombu.utils.uuid import uuid

from warren.broker.decompression import TooLarge
from warren.broker.due import comes_at
from warren.broker.embedded.file_names import returns_of
from warren.broker.embedded.messages import Messages, NoQueue
from warren.broker.embedded.topology import Topology
from warren.broker.embedded.unacked import QoS
from warren.broker.payloads import BoundedChannel, longest, read
from warren.broker.unroutable import NoRoute
from warren.logs.events import Event
from warren.logs.setup import logger

#: Seconds until the next attempt to take a message on a full disk.
FULL_DISK_PAUSE = 1.0


class Channel(BoundedChannel, virtual.Channel):
    """An AMQP channel on the directories of `messages` and `topology`."""

    QoS = QoS

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self.messages: Messages = connection.messages
        self.topology: Topology = connection.topology
        self._no_ack: set[str] = set()
        self._own: set[str] = set()
        self._pause_until = 0.0

    # -- declare -----------------------------------------------------------------------------------

    def exchange_declare(
        self,
        exchange: str,
        type: str = "direct",  # noqa: A002
        passive: bool = False,
        **_: Any,
    ) -> None:
        """Declare an exchange, for every process. Raises ChannelError when its type differs."""
        kind = type or "direct"
        if passive:
            if self.topology.exchange(exchange) is None:
                raise _not_found("exchange", exchange)
            return
        found = self.topology.declare_exchange(exchange, kind)
        if found != kind:
            text = (
                f"PRECONDITION_FAILED - exchange {exchange!r}: expected type {found}, found {kind}"
            )
            raise ChannelError(text, (40, 10), "Channel.exchange_declare", 406)

    def exchange_delete(self, exchange: str, **_: Any) -> None:
        """Delete the exchange and its bindings."""
        self.topology.delete_exchange(exchange)

    def queue_declare(
        self,
        queue: str = "",
        passive: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        **_: Any,
    ) -> queue_declare_ok_t:
        """Declare a queue.

        An exclusive or auto-delete queue exists as long as a process that has declared it.
        """
        queue = queue or f"amq.gen-{uuid()}"
        if passive:
            if not self.topology.has_queue(queue):
                raise _not_found("queue", queue)
        else:
            temporary = exclusive or auto_delete
            self.topology.declare_queue(queue, temporary)
            if temporary:
                self._own.add(queue)
        return queue_declare_ok_t(queue, self._size(queue), 0)

    def queue_bind(self, queue: str, exchange: str = "", routing_key: str = "", **_: Any) -> None:
        """Bind the queue, for every process. Every queue is bound to the default exchange."""
        if exchange and not self.topology.bind(exchange, routing_key or "", queue):
            raise _not_found("exchange", exchange)

    def queue_unbind(self, queue: str, exchange: str = "", routing_key: str = "", **_: Any) -> None:
        """Remove the binding."""
        self.topology.unbind(exchange, routing_key or "", queue)

    def queue_delete(
        self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any
    ) -> None:
        """Delete the queue, its bindings and its messages."""
        if if_empty and self._size(queue):
            return
        self.topology.delete_queue(queue)
        self.messages.forget(queue)

    def list_bindings(self) -> list[tuple[str, str, str]]:
        """Return (queue, exchange, routing key) of every binding."""
        tables = self.topology.exchanges.all()
        return [
            (binding.queue, table.name, binding.key)
            for table in tables
            for binding in table.bindings
        ]

    # -- publish -----------------------------------------------------------------------------------

    def basic_publish(
        self, message: dict[str, Any], exchange: str, routing_key: str, **_: Any
    ) -> None:
        """Put the message into every queue to which it is routed.

        A persistent message is on disk when this returns. Raises NoRoute when a persistent message
        reaches no queue, TooLarge when the message is too large, OSError when the message could not
        be written.
        """
        self._inplace_augment_message(message, exchange, routing_key)
        persistent = message["properties"].get("delivery_mode") == 2
        content = dumps(message).encode()
        if (most := self.largest_message) is not None and len(content) > longest(most):
            raise TooLarge(len(content), most)  # too large because of its headers
        reached = 0
        for queue in self.topology.route(exchange, routing_key):
            if (until := comes_at(message)) is not None and queue not in self._own:
                reached += self.messages.later.put(queue, content, until, persistent)
                continue
            with suppress(NoQueue):  # the queue was deleted after the binding was read
                self.messages.put(queue, content, persistent)
                reached += 1
        if reached or not persistent:
            return
        table = self.topology.exchange(exchange) if exchange else None
        if table is None or table.kind != "fanout":
            raise NoRoute(exchange, routing_key)

    # -- consume -----------------------------------------------------------------------------------

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Any, consumer_tag: str, **kwargs: Any
    ) -> None:
        """Deliver the queue's messages to `callback` from now on."""
        if no_ack:
            self._no_ack.add(queue)
        else:
            self._no_ack.discard(queue)
        super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)

    def basic_cancel(self, consumer_tag: str) -> None:
        """Cancel a consumer.

        A temporary queue that no process uses any more is deleted.
        """
        queue = self._tag_to_queue.get(consumer_tag)
        super().basic_cancel(consumer_tag)
        if queue in self._own:
            self._own.discard(queue)
            # On a full disk an error here would keep a closing channel from requeueing its
            # messages.
            with suppress(OSError):
                self.topology.release_queue(queue)
            self.messages.forget(queue)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """Return the next message, or None."""
        message = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if no_ack and message is not None:
            self.messages.ack(message.delivery_tag)
        return message

    def keep_rejected(self, message: Any, headers: dict[str, Any]) -> None:
        """Keep the rejected message with these headers added. Raises OSError.

        The message may be acknowledged after this.
        """
        raw = message.serializable()
        raw["headers"] = {**(raw.get("headers") or {}), **headers}
        self.messages.keep_rejected(message.delivery_tag, dumps(raw).encode())

    def postpone(self, message: Any, until: float) -> bool:
        """Let the message come again at the time `until` (seconds since the epoch).

        Returns False when the disk refused this. The message is still taken then.
        """
        try:
            self.qos.postpone(message.delivery_tag, until)
        except OSError as error:
            logger().error(
                Event.CANNOT_WRITE,
                path=str(self.messages.directory),
                reason=str(error),
                consequence="the message waits in memory",
            )
            return False
        return True

    def bring(self) -> None:
        """Move messages that have become due to the queues from which this channel consumes.

        Raises OSError.
        """
        failure: OSError | None = None
        for queue in self._active_queues:
            try:
                self.messages.later.bring(queue)
            except OSError as error:  # of one queue: the other queues have due tasks, too
                failure = error
        if failure is not None:
            raise failure

    def _get_and_deliver(self, queue: str, callback: Any) -> None:
        payload = self._get(queue)
        if queue in self._no_ack:
            self.messages.ack(payload["properties"]["delivery_tag"])
        callback(payload, queue)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        while (tag := self._take(queue)) is not None:
            try:
                most = self.largest_message
                return _payload(
                    self.messages.read(tag, None if most is None else longest(most)), tag, most
                )
            except ValueError as error:
                # A foreign file, or a transient message that a power cut has torn. The messages
                # behind it must still be delivered.
                self.messages.move_away(tag, str(error))
            except OSError:
                self.messages.requeue(tag)
                raise
        raise Empty

    def _take(self, queue: str) -> str | None:
        if time.monotonic() < self._pause_until:
            return None
        try:
            return self.messages.take(queue)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # If this were an error of the connection, running tasks would be delivered a second
            # time, and nothing would be repaired. The tasks that run free space on the disk.
            self._pause_until = time.monotonic() + FULL_DISK_PAUSE
            logger().error(
                Event.CANNOT_WRITE,
                path=str(self.messages.directory),
                reason=str(error),
                consequence="no message is taken",
            )
            return None

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self.topology.has_queue(queue)

    def _size(self, queue: str) -> int:
        return self.messages.size(queue)

    def _purge(self, queue: str) -> int:
        return self.messages.purge(queue)


def _payload(content: bytes, tag: str, most: int | None) -> dict[str, Any]:
    """Return the message as kombu passes it on. Raises ValueError when the content is not a
    message.
    """
    payload = read(content, most)
    properties = payload["properties"]
    codec = virtual.Channel.codecs.get(properties.pop("body_encoding", None))
    if codec is not None and payload.get("body"):
        try:
            payload["body"] = codec.decode(payload["body"])
        except ValueError:
            raise ValueError("expected a body in base64, found something else") from None
    properties["delivery_tag"] = tag
    properties["delivery_info"]["redelivered"] = returns_of(tag) > 0
    return payload


def _not_found(what: str, name: str) -> ChannelError:
    return ChannelError(f"NOT_FOUND - no {what} {name!r}", (50, 10), f"Channel.{what}_declare", 404)
