"""Messages that RabbitMQ sends back: those that must reach a queue, and for which there was none."""

from __future__ import annotations

from collections.abc import Container

from amqp.basic_message import Message

from warren.broker.queues import EXCHANGE

#: Where tasks are sent to. A persistent message that no queue gets there is an error of its sender, not a loss: published as
#: `mandatory` it comes back. Replies, events and remote control go to other exchanges, and may reach nobody.
_ADDRESSED = ("", EXCHANGE)
_PERSISTENT = 2

#: Exchange and routing key.
Address = tuple[str, str]


def must_arrive(address: Address, message: Message) -> bool:
    """Whether it is an error of the sender when no queue gets this message."""
    return address[0] in _ADDRESSED and message.properties.get("delivery_mode") == _PERSISTENT


class Returns:
    """What a channel knows of its messages that must arrive: their addresses until they have an answer, and who came back."""

    def __init__(self) -> None:
        self._addresses: dict[int, Address] = {}
        self._back: set[int] = set()

    def expect(self, number: int, address: Address) -> None:
        """Takes in a message that was sent and must arrive."""
        self._addresses[number] = address

    def take(self, address: Address, unconfirmed: Container[int]) -> None:
        """Takes in that a message to this address came back."""
        # RabbitMQ does not say which one, but it comes before that one's confirmation and in the order of sending. Of several to
        # one address all come back, so it does not matter which is taken for which.
        for number, sent_to in self._addresses.items():
            if sent_to == address and number in unconfirmed and number not in self._back:
                self._back.add(number)
                return

    def settle(self, number: int) -> Address | None:
        """Forgets a message that has its answer, or whose sender waits no more. Its address if it came back, else None."""
        address = self._addresses.pop(number, None)
        if number not in self._back:
            return None
        self._back.discard(number)
        return address
