"""How many messages wait in a queue, asked of any broker."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from celery import Celery

from warren.broker.messages import messages_in
from warren.broker.reach import reach
from warren.broker.topology import Topology
from warren.errors import Unavailable


def depths(app: Celery, queues: Iterable[str]) -> dict[str, int | None]:
    """Messages ready in each queue; None for a queue that nobody has declared yet. Raises Unavailable.

    The embedded broker is looked at and no more: a connection would make its folders.
    """
    if app.conf.broker_transport == "warren.broker.spool:Transport":
        return _depths_in(Path(app.conf.broker_transport_options["folder"]), queues)
    with reach(app) as connection:
        return depths_over(connection, queues)


def _depths_in(folder: Path, queues: Iterable[str]) -> dict[str, int | None]:
    messages, topology = messages_in(folder), Topology(folder)
    try:
        return {queue: messages.size(queue) if topology.has_queue(queue) else None for queue in queues}
    except OSError as error:
        raise Unavailable(f"the embedded broker cannot be looked at: {folder}: {error.strerror}") from error


def depths_over(connection: Any, queues: Iterable[str]) -> dict[str, int | None]:
    """The same over a kombu connection that is held. Raises the errors of the connection."""
    return {queue: found.messages for queue, found in seen_over(connection, queues).items()}


class Seen(NamedTuple):
    """What a broker says of a queue; None for what it does not say, and for a queue that nobody has declared yet."""

    messages: int | None
    consumers: int | None = None


def seen_over(connection: Any, queues: Iterable[str]) -> dict[str, Seen]:
    """Return what the broker says of each queue, over a kombu connection that is held. Raises the errors of the connection."""
    kind, found = connection.transport.driver_type, {}
    channel = connection.channel()
    try:
        for queue in queues:
            try:
                said = channel.queue_declare(queue, passive=True)
                found[queue] = Seen(int(said.message_count), int(said.consumer_count) if kind == "amqp" else None)
            except connection.channel_errors:
                # An empty queue of Redis is no key at all, and the same as one that was never declared.
                found[queue] = Seen(0 if kind == "redis" else None)
                # RabbitMQ has closed the channel on which a queue was asked for that does not exist.
                channel.close()
                channel = connection.channel()
        return found
    finally:
        if connection.connected:
            channel.close()
