"""The alarms of the broker: whether it refuses messages, asked with the rights of a publisher.

RabbitMQ under an alarm (disk, memory) stops reading from a connection that publishes. It tells the
reason to that connection alone. So this module publishes, over a connection of its own, a message
that no queue gets: when RabbitMQ blocks this connection, nothing that matters is blocked. Redis
answers a write with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from amqp import AccessRefused, Message
from celery import Celery

from warren.broker import transport_profiles
from warren.broker.transport_profiles import Kind
from warren.config.broker_kind import BrokerKind

#: Seconds to wait for RabbitMQ's answer. A later answer is read at the next look.
_LISTEN = 0.3
#: The routing key of the message on the default exchange: no queue has this name. On Redis a key
#: with this name, which expires within a second.
_NOWHERE = "warren.broker-status.nowhere"

#: Returns the alarms that the broker has now, in the broker's own text. Raises the errors of its
#: connection.
Look = Callable[[], tuple[str, ...]]


@contextmanager
def alarms(app: Celery, kind: BrokerKind, connection: Any) -> Iterator[Look]:
    """Yield a function that looks for alarms while `connection` is open.

    Only Redis uses `connection`.
    """
    if kind == "rabbitmq":
        listener = transport_profiles.connection(app, Kind.ALARMS)
        try:
            listener.ensure_connection(max_retries=1, timeout=app.conf.broker_connection_timeout)
            channel = listener.channel()
            yield lambda: _rabbitmq(listener.connection, channel)
        finally:
            # Closed without AMQP's close: the broker does not read a blocked connection, and would
            # never answer.
            listener.collect()
    elif kind == "redis":
        client = connection.default_channel.client
        yield lambda: _redis(client)
    else:
        yield tuple


def _rabbitmq(connection: Any, channel: Any) -> tuple[str, ...]:
    # The broker does not read a blocked connection, so more messages would pile up. A closed
    # channel means that this user may not publish to this key, and learns of no alarm.
    if not connection.blocked and channel.is_open:
        channel.basic_publish(Message(b""), exchange="", routing_key=_NOWHERE)
    with suppress(TimeoutError, AccessRefused):
        while True:
            connection.drain_events(timeout=_LISTEN)
    return (connection.blocked_reason,) if connection.blocked else ()


def _redis(client: Any) -> tuple[str, ...]:
    # Only processes that use Redis load its client.
    from redis.exceptions import NoPermissionError, ResponseError

    try:
        client.set(_NOWHERE, "", px=1000)
    except NoPermissionError:
        return ()  # Redis refuses this key, which says nothing about other keys
    except ResponseError as error:
        return (str(error),)
    return ()
