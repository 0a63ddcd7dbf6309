"""The content that kombu keeps in a database of Redis, and the check for garbage in it. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from warren.broker.embedded.routing import Binding
from warren.broker.payloads import check

#: The prefix of the key to which garbage is moved; the key in which it was found follows.
ASIDE = "warren.rejected."
#: The prefix of the key that wakes the workers that wait for a queue (wakeup_key.py). The queue's
#: name follows.
BELL = "warren.bell."
#: The most bytes of a binding's key or queue. AMQP allows no more bytes.
_LONGEST = 255


class Entry(NamedTuple):
    """A message that a worker has taken and not acknowledged, with the address for its requeue."""

    message: dict[str, Any]
    exchange: str
    routing_key: str


def binding_of(member: bytes, separator: str, taken: frozenset[str]) -> Binding | None:
    """Return the binding of a member of an exchange's set; None when the member is not a binding.

    The pattern in the member is not used: any sender may have written it, and a regular expression
    may run for ever.

    taken: keys that are not queues.
    """
    try:
        key, _, queue = member.decode().split(separator)
    except ValueError:  # the member is not text, or has not three parts
        return None
    if not queue or len(key.encode()) > _LONGEST or len(queue.encode()) > _LONGEST:
        return None
    return None if is_kept(queue, taken) else Binding(key, queue)


def is_kept(queue: str, taken: frozenset[str]) -> bool:
    """Return whether the name of a queue is the name of a key that has another use."""
    return queue in taken or queue.startswith(("_kombu.", ASIDE, BELL))


def entry_of(value: Any) -> Entry:
    """Return the entry of the hash of unacknowledged messages.

    Raises ValueError, with the reason, when the value is not an entry.
    """
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(
            "expected a message with its exchange and routing key, found another value"
        )
    message, exchange, routing_key = value
    if not isinstance(exchange, str | None) or not isinstance(routing_key, str):
        raise ValueError("expected an exchange and a routing key that are texts")
    check(message)
    return Entry(message, exchange or "", routing_key)
