"""When the task of a message may run, and how a fresh copy of a message goes back to the broker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kombu import Producer

from warren.broker.queue_names import REJECTED

#: The header in which the worker tells its pool child which slots the task was admitted with.
TICKETS = "warren_tickets"
#: The header that counts how often a process was lost while it ran this task.
CRASHES = "warren_crashes"
#: The header that counts how often the task asked for the same attempt again.
RETURNS = "warren_returns"
#: Seconds for which a message waits before it goes back to its queue, at first and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
#: Headers that the broker or this worker wrote, and that a copy does not have.
_BROKERS = frozenset(
    (TICKETS, "x-delivery-count", "x-death", "x-first-death-exchange", "x-first-death-queue")
)
# The broker also sends a message with these headers to the queues that they name, but the copy goes
# to one queue.
_BROKERS |= {"CC", "BCC"}
_BROKERS |= {
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
}
#: What a copy keeps of a message's properties; the broker makes the others again.
PROPERTIES = ("correlation_id", "reply_to", "priority")


def copy_of(message: Any, **headers: Any) -> dict[str, Any]:
    """Return the message with these headers added, as a channel's `prepare_message` takes it."""
    kept = {name: value for name, value in message.headers.items() if name not in _BROKERS}
    properties = {
        name: message.properties[name] for name in PROPERTIES if message.properties.get(name)
    }
    return {
        "body": message.body,
        "priority": properties.pop("priority", 0),
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "headers": {**kept, **headers},
        "properties": {"delivery_mode": 2, **properties},
    }


def publish_copy(message: Any, exchange: str, routing_key: str, **headers: Any) -> None:
    """Publish the message again with these headers added.

    The acknowledgement of the message has to follow on the same channel. On one channel the broker
    takes the copy before the acknowledgement. After a cut between them the task is there twice; it
    is never lost.
    """
    fields = copy_of(message, **headers)
    if routing_key == REJECTED:
        fields["priority"] = (
            0  # On Redis each priority is a list of its own, and only one list is looked at.
        )
    Producer(message.channel, auto_declare=False).publish(
        exchange=exchange, routing_key=routing_key, **{**fields, **fields.pop("properties")}
    )


def is_expired(headers: Mapping[str, Any]) -> bool:
    """Return whether the task was to run before now.

    Celery checks this later, and finds the same, because both read the text that
    `message_checks.settle` wrote. But the clock may be set back in between. So the worker runs no
    request of a governed task without slots, whatever was found here (`Gate.has_slots`).
    """
    return _seconds_until(headers.get("expires")) < 0


def due_in(headers: Mapping[str, Any]) -> float:
    """Return the seconds until the task's ETA; 0 or less when the task is due now.

    A task without an ETA, or with an ETA that Celery will refuse, is due now.
    """
    return _seconds_until(headers.get("eta"))


def _seconds_until(text: Any) -> float:
    """Return the seconds until a time in well-formed text; 0 for an empty text."""
    return datetime.fromisoformat(text).timestamp() - time.time() if text else 0.0


def counted(headers: Mapping[str, Any], name: str) -> int:
    """Return the number in a header that counts; 0 when the header is missing or not a count."""
    found = headers.get(name)
    return found if isinstance(found, int) else 0


def pause_before(returns: int) -> float:
    """Return the seconds for which a message waits that came back `returns` times.

    The seconds double with each return.
    """
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(returns, 10))
