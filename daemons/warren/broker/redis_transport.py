"""Redis as Warren takes messages from it: what is on a list may be anybody's, and anything.

kombu takes a message from its list and only then reads it. What it cannot read ends the worker, and the
message is gone. Here such a message arrives as one that is rejected, with a line in the log. Garbage in
the keys in which kombu keeps bindings and messages is moved out of the way (redis_keys.py).
"""

from __future__ import annotations

from queue import Empty
from typing import Any

from kombu.transport import redis
from redis.exceptions import ResponseError

from warren.broker.due import comes_at
from warren.broker.payloads import BoundedChannel, check, longest, new_tag, read, stand_in
from warren.broker.queues import EXCHANGE, REJECTED, SOURCE
from warren.broker.redis_bindings import Entry, binding_of, is_kept
from warren.broker.redis_keys import Keys
from warren.broker.redis_parser import TooLong, bounded_parser
from warren.broker.redis_unacked import LONGER, QoS, later_key
from warren.broker.routing import Binding, route
from warren.broker.transport_names import take_names
from warren.broker.unroutable import NoRoute
from warren.events import Event
from warren.log import get

_PERSISTENT = 2


class Channel(BoundedChannel, redis.Channel):
    """kombu's channel with messages that were looked at, which knows where a message leads before it is sent."""

    QoS = QoS

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        self.keys = Keys(self)
        super().__init__(connection, **kwargs)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = super()._connparams(asynchronous)
        if self.largest_message is not None:
            # What is taken comes over the asynchronous connection. The other one reads what was noted of it, which is longer.
            parser = bounded_parser(longest(self.largest_message) * (1 if asynchronous else LONGER))
            found |= {"parser_class": parser} if parser else {}
        return found

    # -- where a message leads ---------------------------------------------------------------------------------------

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> Any:
        """As kombu's. Raises NoRoute for a task that no queue would get, which kombu drops."""
        if exchange == EXCHANGE and message["properties"].get("delivery_mode") == _PERSISTENT and not self._leads(routing_key):
            raise NoRoute(exchange, routing_key)
        return super().basic_publish(message, exchange, routing_key, **kwargs)

    def _leads(self, routing_key: str) -> bool:
        if self._lookup(EXCHANGE, routing_key):
            return True
        self._bind_again(EXCHANGE)
        return bool(self._lookup(EXCHANGE, routing_key))

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> list[str]:
        """Return the queues that a message reaches. kombu would run the regular expressions that stand in the table."""
        if not exchange:
            return [routing_key]
        kind = self.typeof(exchange).type
        return route(kind, (Binding(key, queue) for key, _, queue in self.get_table(exchange)), routing_key)

    def get_table(self, exchange: str) -> list[tuple[str, Any, str]]:
        """Return the bindings of the exchange, each as kombu has it. What is none is moved out of the way."""
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
        return [prepare(each.queue, exchange, each.key, None) for each in bindings.values() if each is not None]

    def lists_for(self, entry: Entry) -> list[str]:
        """Return the keys of the lists that an unacknowledged message goes back to; none for garbage."""
        priority = self._get_message_priority(entry.message, reverse=False)
        queues = self._lookup(entry.exchange, entry.routing_key)
        keys = [self._q_for_pri(queue, priority) for queue in queues if queue and not is_kept(queue, self._taken)]
        return [key for key in keys if self._is_list(key)]

    def _is_list(self, key: str) -> bool:
        """Return whether messages can be put there. A transaction that finds out takes a message off the notes all the same."""
        with self.conn_or_acquire() as client:
            kind = client.execute_command("TYPE", self.global_keyprefix + key)
        return kind in (b"list", b"none") or self.keys.refuse_types(ResponseError("WRONGTYPE"), {key: "list"})

    @property
    def _taken(self) -> frozenset[str]:
        """Keys that are no queues."""
        return frozenset((self.unacked_key, self.unacked_index_key, self.unacked_mutex_key, later_key(self)))

    def _bind_again(self, exchange: str) -> None:
        """Write the bindings that this connection has declared once more: somebody has removed them, or put another key there."""
        for queue, bound_to, routing_key in list(self.state.bindings):
            if bound_to == exchange:
                self._queue_bind(exchange, *self.typeof(exchange).prepare_bind(queue, exchange, routing_key, None))

    # -- keys of another type ----------------------------------------------------------------------------------------

    def _queue_bind(self, exchange: str, routing_key: str, pattern: Any, queue: str) -> None:
        self.keys.again(self._binding_keys(exchange), super()._queue_bind, exchange, routing_key, pattern, queue)

    def _delete(self, queue: str, exchange: str, *meta: Any, **options: Any) -> None:
        self.keys.again(self._binding_keys(exchange), super()._delete, queue, exchange, *meta, **options)

    def _refresh_bindings(self, queues: list[str]) -> None:
        exchanges = {exchange for queue in queues for exchange, _, _ in self.state.queue_bindings(queue)}
        types = {key: kind for exchange in exchanges for key, kind in self._binding_keys(exchange).items()}
        self.keys.again(types, super()._refresh_bindings, queues)

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        # A dead letter may have an ETA as well: it is there for people, at once.
        until = None if queue == REJECTED else comes_at(message)
        if until is not None:
            # Noted as if a worker had taken it and postponed it: no worker sees it before.
            self.qos.note_later(message, queue, until)
            return
        types = {} if is_kept(queue, self._taken) else self._list_keys([queue])
        self.keys.again(types, super()._put, queue, message, **kwargs)

    def _binding_keys(self, exchange: str) -> dict[str, str]:
        sets = (self.keyprefix_queue % exchange, self.keyprefix_binding_permanent % exchange)
        return {**dict.fromkeys(sets, "set"), self.keyprefix_binding_deadlines: "zset"}

    def _list_keys(self, queues: list[str]) -> dict[str, str]:
        return {self._q_for_pri(queue, step): "list" for queue in queues for step in self.priority_steps}

    def kept_keys(self, queues: list[str]) -> list[str]:
        """Return the keys in which these queues, their bindings and what was taken from them are kept."""
        return [*self._binding_keys(EXCHANGE), *self._list_keys(queues), *sorted(self._taken)]

    # -- what is due later -------------------------------------------------------------------------------------------

    def postpone(self, message: Any, until: float) -> bool:
        """Has the message come again at that moment (seconds, wall clock)."""
        self.qos.postpone(message.delivery_tag, until)
        return True

    def bound_rejected(self) -> None:
        """Drops the oldest rejected messages that are too many."""
        self.qos.bound_rejected()

    # -- what arrives ------------------------------------------------------------------------------------------------

    def _brpop_read(self, **options: Any) -> bool:
        """Read the answer to the question for the next message, and deliver it. Raises Empty.

        In kombu's place (kombu 5.7), which decodes the message itself. The answer has been read when
        the message is looked at: whatever becomes of it, the connection is ready for the next question.
        """
        try:
            answer = self._answer(**options)
        except ResponseError as error:
            # BRPOP names all queues at once: one that is no list would keep the worker from every other one.
            if not self.keys.refuse_types(error, self._list_keys(self.active_queues)):
                raise
            raise Empty from None
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if not answer:
            raise Empty
        queue = answer[0].decode().rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        self.connection._deliver(self._payload(answer[1], queue), queue)
        return True

    def _answer(self, **options: Any) -> Any:
        try:
            return self.client.parse_response(self.client.connection, "BRPOP", **options)
        except self.connection_errors:
            self.client.connection.disconnect()  # the next question connects anew
            raise

    def _payload(self, content: bytes, queue: str) -> dict[str, Any]:
        try:
            if isinstance(content, TooLong):
                raise ValueError(
                    f"expected a message of at most {self.largest_message} bytes, found {content.size} with its headers"
                )
            payload = read(content, self.largest_message)
        except ValueError as error:
            payload = stand_in(str(error), queue, content)
        payload["properties"]["delivery_tag"] = new_tag()
        payload["properties"]["delivery_info"][SOURCE] = queue
        return payload

    def _receive_one(self, c: Any) -> Any:
        """As kombu's, which passes over what is no JSON, but not over what is nested too deeply for it."""
        try:
            return super()._receive_one(c)
        except (RecursionError, ValueError, TypeError, AttributeError) as error:
            self._passed_over(f"expected a message, found {type(error).__name__}")
            raise Empty from None

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        try:
            check(message)
        except ValueError as error:
            self._passed_over(str(error))
            return True
        message["properties"]["delivery_tag"] = new_tag()
        return super()._deliver_fanout_message(message, exchange)  # type: ignore[no-any-return]

    @staticmethod
    def _passed_over(reason: str) -> None:
        # Remote control: it has no queue that it could be rejected from.
        get().error(Event.MESSAGE_REJECTED, reason=reason)


class Transport(redis.Transport):
    """kombu's transport with these channels."""

    Channel = Channel


def register() -> None:
    """Makes this the transport of redis:// and rediss:// in this process."""
    take_names({"redis": Transport, "rediss": Transport})
