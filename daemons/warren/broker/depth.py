"""How many messages wait in a queue, asked of any broker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import Celery

from warren.broker.reach import reach


def depths(app: Celery, queues: Iterable[str]) -> dict[str, int | None]:
    """Messages ready in each queue; None for a queue that nobody has declared yet. Raises Unavailable."""
    with reach(app) as connection:
        return depths_over(connection, queues)


def depths_over(connection: Any, queues: Iterable[str]) -> dict[str, int | None]:
    """The same over a kombu connection that is held. Raises the errors of the connection."""
    return {queue: _depth(connection, queue) for queue in queues}


def _depth(connection: Any, queue: str) -> int | None:
    # A channel of its own: RabbitMQ closes the one on which a queue was asked for that does not exist.
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors:
        # An empty queue of Redis is no key at all, and the same as one that was never declared.
        return 0 if connection.transport.driver_type == "redis" else None
    finally:
        if connection.connected:
            channel.close()
