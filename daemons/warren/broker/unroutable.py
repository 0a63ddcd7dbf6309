"""The error for a message that no queue would get."""

from __future__ import annotations

from kombu.exceptions import ChannelError, OperationalError

from warren.errors import Unavailable


class NoRoute(OperationalError, ChannelError, Unavailable):
    """A persistent message would reach no queue: its publisher gets this error.

    The broker would drop the message. Transient messages (replies, events, remote control) and
    messages to a fanout exchange may reach no queue.
    """

    def __init__(self, exchange: str, routing_key: str) -> None:
        where = f"exchange {exchange!r}" if exchange else "the exchange without a name"
        text = f"NO_ROUTE - {where}: expected a queue bound for routing key {routing_key!r}"
        text += ", found none; the message was not sent"
        text += "; declare the queue, or correct the routing key"
        super().__init__(text, (60, 40), "Channel.basic_publish", 312)
        self.exchange, self.key = exchange, routing_key

    def __str__(self) -> str:
        return str(self.message)

    def __reduce__(self) -> tuple[type[NoRoute], tuple[str, str]]:
        # From a pool child to its worker: a plain exception would be made again from its arguments
        # alone.
        return NoRoute, (self.exchange, self.key)
