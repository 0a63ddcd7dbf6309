"""The names of queues and exchanges that senders, workers and questions to a broker share."""

from __future__ import annotations

import re

from warren.config import Settings

#: One topic exchange for all tasks: native delayed delivery on RabbitMQ needs a topic exchange, and
#: a binding key may hold wildcards.
EXCHANGE = "warren"
#: The queue of the messages that no worker can run; the embedded broker has a directory instead.
REJECTED = "warren.rejected"
#: The key in a message's delivery_info with the queue that it was taken from. Its routing key does
#: not show the queue: it may be the key of a delay, several queues may be bound for it, and a
#: message that was returned came by the queue's name.
SOURCE = "queue"
#: 28 bits of a delay in seconds, each a word of the key.
_DELAY = re.compile(r"^(?:[01]\.){28}")


def are_quorum(settings: Settings) -> bool:
    """Return whether the queues are RabbitMQ's quorum queues."""
    return settings.broker.kind == "rabbitmq" and settings.broker.queue_type != "classic"


def beat_names(app: str) -> tuple[str, str]:
    """Return the names under which the broker keeps the beats' leadership and last ticks.

    There is one of each for an app, however many hosts it has.
    """
    return f"{app}.beat.leader", f"{app}.beat.ticks"


def without_delay(routing_key: str) -> str:
    """Return the key as its sender chose it.

    Delayed delivery puts the delay before the key, bit by bit.
    """
    return _DELAY.sub("", routing_key)
