"""Messages that RabbitMQ returns because they reached no queue although they must reach one."""

from __future__ import annotations

from collections.abc import Container

from amqp.basic_message import Message

from warren.broker.queue_names import EXCHANGE

#: The exchanges to which tasks are sent. A persistent message that reaches no queue there is an
#: error of its sender, and must not be lost: it is published as `mandatory` and comes back.
#: Replies, events and remote control go to other exchanges, and may reach no queue.
_ADDRESSED = ("", EXCHANGE)
_PERSISTENT = 2

#: Exchange and routing key.
Address = tuple[str, str]


def must_arrive(address: Address, message: Message) -> bool:
    """Return whether the message must reach a queue.

    When such a message reaches none, that is an error of its sender.
    """
    return address[0] in _ADDRESSED and message.properties.get("delivery_mode") == _PERSISTENT


class Returns:
    """The messages of a channel that must reach a queue.

    Each message is kept with its address until it has its answer. Messages that came back are
    marked.
    """

    def __init__(self) -> None:
        self._addresses: dict[int, Address] = {}
        self._back: set[int] = set()

    def expect(self, number: int, address: Address) -> None:
        """Note a message that was sent and must reach a queue."""
        self._addresses[number] = address

    def take(self, address: Address, unconfirmed: Container[int]) -> None:
        """Note that a message to this address came back."""
        # RabbitMQ does not say which message came back. But a return comes before the confirmation
        # of its message, and returns come in the order of sending. When several messages went to
        # one address, all of them come back, so any of them may be marked for this return.
        for number, sent_to in self._addresses.items():
            if sent_to == address and number in unconfirmed and number not in self._back:
                self._back.add(number)
                return

    def settle(self, number: int) -> Address | None:
        """Forget a message that has its answer, or whose sender no longer waits for an answer.

        Returns the message's address if the message came back, else None.
        """
        address = self._addresses.pop(number, None)
        if number not in self._back:
            return None
        self._back.discard(number)
        return address
