"""The number of messages that wait in a queue of any broker."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from celery import Celery

from warren.broker.connect import reach
from warren.broker.embedded.messages import messages_in
from warren.broker.embedded.topology import Topology
from warren.errors import Unavailable


def depths(app: Celery, queues: Iterable[str]) -> dict[str, int | None]:
    """Return the number of ready messages in each queue; None for a queue that is not declared yet.

    Raises Unavailable. The directories of the embedded broker are only read: a connection would
    make missing directories.
    """
    if app.conf.broker_transport == "warren.broker.embedded.transport:Transport":
        return _depths_in(Path(app.conf.broker_transport_options["directory"]), queues)
    with reach(app) as connection:
        return depths_over(connection, queues)


def _depths_in(directory: Path, queues: Iterable[str]) -> dict[str, int | None]:
    messages, topology = messages_in(directory), Topology(directory)
    try:
        return {
            queue: messages.size(queue) if topology.has_queue(queue) else None for queue in queues
        }
    except OSError as error:
        raise Unavailable(
            f"the embedded broker cannot be looked at: {directory}: {error.strerror}"
        ) from error


def depths_over(connection: Any, queues: Iterable[str]) -> dict[str, int | None]:
    """Return the number of ready messages in each queue, over an open kombu connection.

    The number is None for a queue that is not declared yet. Raises the errors of the connection.
    """
    return {queue: found.messages for queue, found in seen_over(connection, queues).items()}


class Seen(NamedTuple):
    """What a broker says of a queue.

    A field is None if the broker does not say it. Both are None for a queue that is not declared.
    """

    messages: int | None
    consumers: int | None = None


def seen_over(connection: Any, queues: Iterable[str]) -> dict[str, Seen]:
    """Return what the broker says of each queue, over an open kombu connection.

    Raises the errors of the connection.
    """
    kind, found = connection.transport.driver_type, {}
    channel = connection.channel()
    try:
        for queue in queues:
            try:
                declared = channel.queue_declare(queue, passive=True)
                found[queue] = Seen(
                    int(declared.message_count),
                    int(declared.consumer_count) if kind == "amqp" else None,
                )
            except connection.channel_errors:
                # Redis has no key for an empty queue, so an empty queue looks like a queue that was
                # never declared.
                found[queue] = Seen(0 if kind == "redis" else None)
                # RabbitMQ closes a channel over which a missing queue was asked for.
                channel.close()
                channel = connection.channel()
        return found
    finally:
        if connection.connected:
            channel.close()
