"""Where messages that are due later wait in RabbitMQ: queues of which each has one delay.

A queue gives up its messages from the front, so that all in it have to wait for as long: the delay is
the queue's. There is one for each power of two seconds, made when it is needed first. From there a
message goes back to the queue that it came from, by its name. What is to wait longer than its power of
two is sent to the next one then.

Celery's own delays lead through an exchange, to every queue that is bound for the key; and a sender that
is not Warren's may not use them.
"""

from __future__ import annotations

from typing import Any

#: The longest delay is 2 to this power, 97 days: an ETA may be 366 days ahead.
_HIGHEST = 23


def place(queue: str, seconds: float) -> tuple[str, int]:
    """Return the name of the queue with the longest delay of at most so many seconds (1 at least), and its delay. Pure."""
    level = 2 ** min(int(seconds).bit_length() - 1, _HIGHEST)
    return f"warren.later.{queue}.{level}", level


def declare(channel: Any, name: str, queue: str, level: int) -> None:
    """See that the queue is there. Raises an error of the channel, which closes it.

    A quorum queue whatever the others are: it alone keeps a message until the queue that it goes to has taken it.
    """
    arguments = {
        "x-queue-type": "quorum",
        "x-message-ttl": level * 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # the strategy asks for it
    }
    channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
