"""The names of queues and exchanges that senders, workers and looks at a broker share."""

from __future__ import annotations

import re

from warren.config import Settings

#: One topic exchange for all tasks: native delayed delivery of RabbitMQ needs a topic exchange, and
#: a binding key may then hold wildcards.
EXCHANGE = "warren"
#: The queue of messages that no worker can run. The embedded broker has a directory instead.
REJECTED = "warren.rejected"
#: The key in a message's delivery_info with the queue that the message was taken from. The routing
#: key does not tell the queue: it may be the key of a delay, several queues may be bound for it,
#: and a message that was returned came by the queue's name.
SOURCE = "queue"
#: The 28 bits of a delay in seconds. Each bit is a word of the key.
_DELAY = re.compile(r"^(?:[01]\.){28}")


def are_quorum(settings: Settings) -> bool:
    """Return whether the queues are RabbitMQ's quorum queues."""
    return settings.broker.kind == "rabbitmq" and settings.broker.queue_type != "classic"


def beat_names(app: str) -> tuple[str, str]:
    """Return the names under which the broker keeps the beats' leadership and last ticks.

    All hosts of an app share these two names.
    """
    return f"{app}.beat.leader", f"{app}.beat.ticks"


def without_delay(routing_key: str) -> str:
    """Return the key as its sender chose it.

    Delayed delivery puts the bits of the delay before the key.
    """
    return _DELAY.sub("", routing_key)
