"""How many messages wait in a queue, asked of any broker."""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery
from kombu.exceptions import OperationalError

from warren.errors import Unavailable


def depths(app: Celery, queues: Iterable[str], timeout: float = 3.0) -> dict[str, int | None]:
    """Messages ready in each queue; None for a queue that nobody has declared yet.

    timeout: seconds to reach the broker. Raises Unavailable.
    """
    found: dict[str, int | None] = {}
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)
            for queue in queues:
                found[queue] = _depth(connection, queue)
            return found
    except (OperationalError, OSError) as error:
        raise Unavailable(
            f"{app.connection_for_read().as_uri()}: expected a broker that answers, found: {error}; "
            "start it, or correct [broker] url"
        ) from error


def _depth(connection: object, queue: str) -> int | None:
    # A channel of its own: RabbitMQ closes the one on which a queue was asked for that does not exist.
    channel = connection.channel()  # type: ignore[attr-defined]  # kombu's connection carries no types
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors:  # type: ignore[attr-defined]
        # An empty queue of Redis is no key at all, and the same as one that was never declared.
        return 0 if connection.transport.driver_type == "redis" else None  # type: ignore[attr-defined]
    finally:
        if connection.connected:  # type: ignore[attr-defined]
            channel.close()
