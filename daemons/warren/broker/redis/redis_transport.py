"""The transport of Redis: it takes a message in one step, and expects any content on a list.

take_script.py explains the take. kombu takes a message from its list, notes the message later, and
reads it only then. A message that kombu cannot read ends the worker, and is lost. In this transport
such a message arrives as a message that is rejected, with a line in the log. Garbage in the keys in
which kombu keeps bindings and messages is moved away (key_cleanup.py).
"""

from __future__ import annotations

from queue import Empty
from typing import Any

from kombu.transport import redis
from kombu.utils.json import dumps
from redis.exceptions import ResponseError

from warren.broker.due import comes_at
from warren.broker.embedded.routing import Binding, route
from warren.broker.payloads import BoundedChannel, check, longest, new_tag
from warren.broker.queue_names import EXCHANGE, REJECTED
from warren.broker.redis import kombu_version
from warren.broker.redis.bindings import Entry, binding_of, is_kept
from warren.broker.redis.bounded_parser import bounded_parser
from warren.broker.redis.key_cleanup import KeyCleanup
from warren.broker.redis.redis_unacked import LONGER, QoS, later_key
from warren.broker.redis.take_channel import TakingChannel
from warren.broker.redis.wakeup_key import LONGEST, bell_of, push
from warren.broker.transport_registry import take_names
from warren.broker.unroutable import NoRoute
from warren.logs.events import Event
from warren.logs.setup import logger

_PERSISTENT = 2


class Channel(BoundedChannel, TakingChannel):
    """kombu's channel with checked messages. It knows the queues of a message before the message is
    sent.
    """

    QoS = QoS

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        self.keys = KeyCleanup(self)
        super().__init__(connection, **kwargs)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = super()._connparams(asynchronous)
        if self.largest_message is not None:
            # A take comes over the asynchronous connection. The other connection reads the notes of
            # messages, which are longer than the messages.
            parser = bounded_parser(longest(self.largest_message) * (1 if asynchronous else LONGER))
            found |= {"parser_class": parser} if parser else {}
        return found

    # -- routing -----------------------------------------------------------------------------------

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> Any:
        """Publish as kombu does.

        Raises NoRoute for a task that no queue would get. kombu would drop such a task.
        """
        if (
            exchange == EXCHANGE
            and message["properties"].get("delivery_mode") == _PERSISTENT
            and not self._leads(routing_key)
        ):
            raise NoRoute(exchange, routing_key)
        return super().basic_publish(message, exchange, routing_key, **kwargs)

    def _leads(self, routing_key: str) -> bool:
        if self._lookup(EXCHANGE, routing_key):
            return True
        self._bind_again(EXCHANGE)
        return bool(self._lookup(EXCHANGE, routing_key))

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> list[str]:
        """Return the queues that a message reaches.

        kombu's own method would run the regular expressions in the table.
        """
        if not exchange:
            return [routing_key]
        kind = self.typeof(exchange).type
        return route(
            kind, (Binding(key, queue) for key, _, queue in self.get_table(exchange)), routing_key
        )

    def get_table(self, exchange: str) -> list[tuple[str, Any, str]]:
        """Return the bindings of the exchange, in kombu's form.

        Members that are not bindings are moved away.
        """
        key = self.keyprefix_queue % exchange

        def members() -> Any:
            with self.conn_or_acquire() as client:
                return client.smembers(key)

        try:
            found = members()
        except ResponseError as error:
            if not self.keys.refuse_types(error, {key: "set"}):
                raise
            self._bind_again(exchange)
            found = members()
        bindings = {member: binding_of(member, self.sep, self._taken) for member in found}
        if bad := [member for member, binding in bindings.items() if binding is None]:
            self.keys.refuse_members(key, bad)
        prepare = self.typeof(exchange).prepare_bind
        return [
            prepare(each.queue, exchange, each.key, None)
            for each in bindings.values()
            if each is not None
        ]

    def lists_for(self, entry: Entry) -> list[tuple[str, str]]:
        """Return the lists to which an unacknowledged message is requeued: each list's key and its
        queue.

        An entry that is garbage has no lists.
        """
        priority = self._get_message_priority(entry.message, reverse=False)
        queues = self._lookup(entry.exchange, entry.routing_key)
        keys = [
            (self._q_for_pri(queue, priority), queue)
            for queue in queues
            if queue and not is_kept(queue, self._taken)
        ]
        return [(key, queue) for key, queue in keys if self._is_list(key)]

    def _is_list(self, key: str) -> bool:
        """Return whether messages can be put into the key.

        The requeue script would notice a wrong key only after it has put the message into the lists
        before it.
        """
        with self.conn_or_acquire() as client:
            kind = client.execute_command("TYPE", self.global_keyprefix + key)
        return kind in (b"list", b"none") or self.keys.refuse_types(
            ResponseError("WRONGTYPE"), {key: "list"}
        )

    @property
    def _taken(self) -> frozenset[str]:
        """Return the keys that are not queues."""
        return frozenset(
            (self.unacked_key, self.unacked_index_key, self.unacked_mutex_key, later_key(self))
        )

    def _bind_again(self, exchange: str) -> None:
        """Write the bindings that this connection has declared a second time.

        Another client has removed the bindings, or has put another key in their place.
        """
        for queue, bound_to, routing_key in list(self.state.bindings):
            if bound_to == exchange:
                self._queue_bind(
                    exchange,
                    *self.typeof(exchange).prepare_bind(queue, exchange, routing_key, None),
                )

    # -- keys of another type ----------------------------------------------------------------------

    def _queue_bind(self, exchange: str, routing_key: str, pattern: Any, queue: str) -> None:
        self.keys.again(
            self._binding_keys(exchange), super()._queue_bind, exchange, routing_key, pattern, queue
        )

    def _delete(self, queue: str, exchange: str, *meta: Any, **options: Any) -> None:
        self.keys.again(
            self._binding_keys(exchange), super()._delete, queue, exchange, *meta, **options
        )
        with self.conn_or_acquire(options.get("client")) as client:
            client.delete(bell_of(queue))

    def _refresh_bindings(self, queues: list[str]) -> None:
        exchanges = {
            exchange for queue in queues for exchange, _, _ in self.state.queue_bindings(queue)
        }
        types = {
            key: kind
            for exchange in exchanges
            for key, kind in self._binding_keys(exchange).items()
        }
        self.keys.again(types, super()._refresh_bindings, queues)

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        # A dead letter may also have an ETA. It is kept for operators, so it comes at once.
        until = None if queue == REJECTED else comes_at(message)
        if until is not None:
            # The note is made as if a worker had taken and postponed the message: no worker sees
            # the message before its time.
            self.qos.note_later(message, queue, until)
            return
        types = {} if is_kept(queue, self._taken) else self.list_keys([queue])
        plain = not kwargs.get("_publish_batch") and queue not in self._expires
        self.keys.again(types, self._push if plain else super()._put, queue, message, **kwargs)

    def _push(self, queue: str, message: Any, **_: Any) -> None:
        key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
        with self.conn_or_acquire() as client:
            push(client, key, dumps(message), queue)

    # kombu counts in a transaction. This method does not: a Redis without memory refuses a
    # transaction, and a full queue would look empty.

    def _size(self, queue: str) -> int:
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for key in self.list_keys([queue]):
                pipe.llen(key)
            return sum(map(int, pipe.execute()))

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self._size(queue) > 0  # Redis has no key for an empty list

    def _binding_keys(self, exchange: str) -> dict[str, str]:
        sets = (self.keyprefix_queue % exchange, self.keyprefix_binding_permanent % exchange)
        return {**dict.fromkeys(sets, "set"), self.keyprefix_binding_deadlines: "zset"}

    def kept_keys(self, queues: list[str]) -> list[str]:
        """Return the keys of these queues, of their bindings and of their taken messages."""
        return [
            *self._binding_keys(EXCHANGE),
            *self.list_keys(queues),
            *map(bell_of, queues),
            *sorted(self._taken),
        ]

    # -- delayed messages --------------------------------------------------------------------------

    def postpone(self, message: Any, until: float) -> bool:
        """Let the message come again at `until` (seconds since the epoch)."""
        self.qos.postpone(message.delivery_tag, until)
        return True

    def bound_rejected(self) -> None:
        """Drop the oldest rejected messages beyond the bound."""
        self.qos.bound_rejected()

    # -- arriving messages -------------------------------------------------------------------------

    def _receive_one(self, c: Any) -> Any:
        """Receive as kombu does, and skip a message that is nested too deeply for JSON.

        kombu itself skips only content that is not JSON.
        """
        try:
            return super()._receive_one(c)
        except (RecursionError, ValueError, TypeError, AttributeError) as error:
            self._log_skipped(f"expected a message, found {type(error).__name__}")
            raise Empty from None

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        try:
            check(message)
        except ValueError as error:
            self._log_skipped(str(error))
            return True
        message["properties"]["delivery_tag"] = new_tag()
        return super()._deliver_fanout_message(message, exchange)  # type: ignore[no-any-return]

    @staticmethod
    def _log_skipped(reason: str) -> None:
        # Remote control: the message has no queue from which it could be rejected.
        logger().error(Event.MESSAGE_REJECTED, reason=reason)


class Transport(redis.Transport):
    """kombu's transport with these channels."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.brpop_timeout: float = min(self.brpop_timeout, LONGEST)
        # kombu would sleep for so long after each answer that holds no message, and the end of a
        # wait is such an answer.
        self.polling_interval = None


def register() -> None:
    """Make this the transport of redis:// and rediss:// in this process.

    Raises RuntimeError for an unknown kombu.
    """
    kombu_version.check()
    take_names({"redis": Transport, "rediss": Transport})
