"""Fresh copies of messages: how a message goes back to its queue without being counted as returned.

On RabbitMQ the connection that consumes must never publish. Under a disk or memory alarm the broker stops reading from whoever
publishes, acknowledgements included, and the worker would no longer drain the queue that fills the disk. So copies leave by a
connection of their own, and the main loop waits for none of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from warren.broker.rabbitmq import NOWHERE, question
from warren.worker.message import copy_of, publish_copy


@dataclass(frozen=True, eq=False)
class _Copy:
    """A message on its way back: where to, what to do when the broker has the copy, how to run it here instead (or None)."""

    message: Any
    exchange: str
    routing_key: str
    headers: dict[str, Any]
    done: Callable[[], None]
    again: Callable[[], None] | None


class Copies:
    """The copies that one worker makes. One at a time is with the broker: cut off then, one task at most is there twice."""

    def __init__(self) -> None:
        self._consumer: Any = None
        self._waiting: deque[_Copy] = deque()
        self._connection: Any = None
        self._channel: Any = None
        self._busy = False
        self._asked = False

    def begin(self, consumer: Any) -> None:
        """A new connection of the worker: what was on its way was not acknowledged, and the broker delivers it again."""
        if self._connection is not None:
            self._connection.collect()
        self._consumer, self._connection, self._channel = consumer, None, None
        self._busy = self._asked = False
        self._waiting.clear()

    def give(
        self,
        message: Any,
        exchange: str,
        routing_key: str,
        done: Callable[[], None],
        again: Callable[[], None] | None = None,
        headers: dict[str, Any] | None = None,
    ) -> None:
        """Sends a copy with these headers added, then calls `done`, which acknowledges the message.

        Until the broker takes it, for as long as an alarm lasts, the message stays unacknowledged: nothing is lost, whatever ends
        first. `take_back` gives it to `again` meanwhile.
        """
        if self._consumer.connection.transport.driver_type != "amqp":
            publish_copy(message, exchange, routing_key, **headers or {})
            done()
            return
        self._waiting.append(_Copy(message, exchange, routing_key, headers or {}, done, again))
        self.turn()

    def take_back(self, queue: str) -> list[Callable[[], None]]:
        """How to run what waits to go back to the queue and has not been sent."""
        found = [each for each in self._waiting if each.routing_key == queue and each.again is not None]
        self._waiting = deque(each for each in self._waiting if each not in found)
        return [each.again for each in found if each.again is not None]

    def turn(self) -> None:
        """Sends the next one if the broker takes messages. Called a few times a second, and when one is done."""
        if not self._waiting or self._busy:
            return
        if self._connection is None:
            self._connect()
        self._connection.connection.look()
        if self._connection.connection.blocked:
            self._asked = False
            return
        self._busy = True
        if not self._asked:
            # An alarm shows at the first message after it began: that one is nobody's task.
            self._channel.publish_later(self._answered, question(), exchange="", routing_key=NOWHERE)
            return
        self._asked = False
        copy = self._waiting.popleft()
        fields = copy_of(copy.message, **copy.headers)
        message = self._channel.prepare_message(**fields)
        where = {"exchange": copy.exchange, "routing_key": copy.routing_key}
        self._channel.publish_later(partial(self._settled, copy), message, **where)

    def _connect(self) -> None:
        consumer = self._consumer
        self._connection = consumer.app.connection_for_write(heartbeat=consumer.amqheartbeat)
        self._connection.ensure_connection(max_retries=0)
        self._channel = self._connection.channel()
        # Its errors reach the main loop as those of the consuming connection do: the worker connects anew, with both.
        self._connection.register_with_event_loop(consumer.hub)

    def _answered(self, taken: bool) -> None:
        self._asked, self._busy = True, False
        self._consumer.hub.call_soon(self.turn)

    def _settled(self, copy: _Copy, taken: bool) -> None:
        if taken:
            copy.done()
        else:
            self._waiting.append(copy)  # a queue that takes no more: the message stays here and is tried again
        self._busy = False
        self._consumer.hub.call_soon(self.turn)
