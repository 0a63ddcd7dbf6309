"""Redis as Warren takes messages from it: what is on a list may be anybody's, and anything.

kombu takes a message from its list and only then reads it. What it cannot read ends the worker, and the
message is gone. Here such a message arrives as one that is rejected, with a line in the log.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

from kombu.transport import redis

from warren.broker.payloads import BoundedChannel, check, new_tag, read, stand_in
from warren.broker.queues import EXCHANGE, SOURCE
from warren.broker.transport_names import take_names
from warren.broker.unroutable import NoRoute
from warren.events import Event
from warren.log import get

_PERSISTENT = 2


class QoS(redis.QoS):
    """Notes for each unacknowledged message the queue that it came from, in the place of exchange and routing key.

    kombu gives a message back by those two: to every queue that is bound for them, so that a message of
    one queue comes back in two. The message itself keeps both: whoever takes it next finds them in it.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        """As kombu's, which reads exchange and routing key from the message's delivery_info."""
        info = message.delivery_info
        if SOURCE not in info:
            super().append(message, delivery_tag)
            return
        message.delivery_info = {**info, "exchange": "", "routing_key": info[SOURCE]}
        try:
            super().append(message, delivery_tag)
        finally:
            message.delivery_info = info


class Channel(BoundedChannel, redis.Channel):
    """kombu's channel with messages that were looked at, which knows where a message leads before it is sent."""

    QoS = QoS

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> Any:
        """As kombu's. Raises NoRoute for a task that no queue would get, which kombu drops."""
        if exchange == EXCHANGE and message["properties"].get("delivery_mode") == _PERSISTENT:
            bound = self.get_table(exchange)
            if not self.typeof(exchange).lookup(bound, exchange, routing_key, None):
                raise NoRoute(exchange, routing_key)
        return super().basic_publish(message, exchange, routing_key, **kwargs)

    def _brpop_read(self, **options: Any) -> bool:
        """Read the answer to the question for the next message, and deliver it. Raises Empty.

        In kombu's place (kombu 5.7), which decodes the message itself. The answer has been read when
        the message is looked at: whatever becomes of it, the connection is ready for the next question.
        """
        try:
            answer = self._answer(**options)
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
        except (RecursionError, ValueError) as error:
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
