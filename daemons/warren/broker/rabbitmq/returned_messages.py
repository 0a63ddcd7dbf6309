"""The messages that RabbitMQ returns: those that must reach a queue, and reached none."""

from __future__ import annotations

from collections.abc import Container

from amqp.basic_message import Message

from warren.broker.queue_names import EXCHANGE

#: The exchanges to which tasks are sent. A persistent message that no queue gets there is an error
#: of its sender, not a loss: it is published as `mandatory` and comes back. Replies, events and
#: remote control go to other exchanges, and may reach no queue.
_ADDRESSED = ("", EXCHANGE)
_PERSISTENT = 2

#: Exchange and routing key.
Address = tuple[str, str]


def must_arrive(address: Address, message: Message) -> bool:
    """Return whether it is an error of the sender when no queue gets this message."""
    return address[0] in _ADDRESSED and message.properties.get("delivery_mode") == _PERSISTENT


class Returns:
    """The messages of a channel that must arrive.

    Each has its address until it has an answer; those that came back are marked.
    """

    def __init__(self) -> None:
        self._addresses: dict[int, Address] = {}
        self._back: set[int] = set()

    def expect(self, number: int, address: Address) -> None:
        """Note a message that was sent and must arrive."""
        self._addresses[number] = address

    def take(self, address: Address, unconfirmed: Container[int]) -> None:
        """Note that a message to this address came back."""
        # RabbitMQ does not say which message, but a return comes before that message's confirmation
        # and in the order of sending. Of several messages to one address all come back, so it does
        # not matter which return is counted for which message.
        for number, sent_to in self._addresses.items():
            if sent_to == address and number in unconfirmed and number not in self._back:
                self._back.add(number)
                return

    def settle(self, number: int) -> Address | None:
        """Forget a message that has its answer, or whose sender waits no more.

        Returns its address if it came back, else None.
        """
        address = self._addresses.pop(number, None)
        if number not in self._back:
            return None
        self._back.discard(number)
        return address
