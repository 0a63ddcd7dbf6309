"""The alarms of the broker: whether it refuses messages, asked with the rights of a publisher.

RabbitMQ under an alarm (disk, memory) stops reading from a connection that publishes, and says so,
with the reason, to that connection alone. So a connection of its own publishes a message that no
queue gets: this can block nothing that matters. Redis answers a write with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from amqp import AccessRefused, Message, spec
from amqp.serialization import loads
from celery import Celery
from kombu.transport import pyamqp

from warren.config.schema import BrokerKind

#: Seconds to wait for RabbitMQ's answer; a later answer is read at the next look.
_LISTEN = 0.3
#: Where the message goes: the default exchange, and no queue has this name. As a key of Redis it
#: expires within a second.
_NOWHERE = "warren.broker-status.nowhere"

#: Returns the alarms that the broker has now, in its own text. Raises the errors of its connection.
Look = Callable[[], tuple[str, ...]]


@contextmanager
def alarms(app: Celery, kind: BrokerKind, connection: Any) -> Iterator[Look]:
    """Yield how to look for alarms while `connection` is open. Only Redis uses `connection`."""
    if kind == "rabbitmq":
        listener = app.connection_for_write()
        listener.transport.Connection = _Listener
        try:
            listener.ensure_connection(max_retries=1, timeout=app.conf.broker_connection_timeout)
            channel = listener.channel()
            yield lambda: _rabbitmq(listener.connection, channel)
        finally:
            # Not closed cleanly: a blocked connection is not read, and would never answer.
            listener.collect()
    elif kind == "redis":
        client = connection.default_channel.client
        yield lambda: _redis(client)
    else:
        yield tuple


class _Listener(pyamqp.Connection):
    """A connection that keeps the reason for which RabbitMQ has blocked it.

    py-amqp says that a connection is blocked, but not why: it drops the frame that holds the
    reason.
    """

    reason = ""

    def on_inbound_method(
        self, channel_id: int, method_sig: tuple[int, int], payload: Any, content: Any
    ) -> Any:
        """Keep the reason of a block; called for every method that comes in."""
        if method_sig == spec.Connection.Blocked:
            (self.reason,), _ = loads("s", payload, 4)
        elif method_sig == spec.Connection.Unblocked:
            self.reason = ""
        return super().on_inbound_method(channel_id, method_sig, payload, content)


def _rabbitmq(connection: Any, channel: Any) -> tuple[str, ...]:
    # A blocked connection is not read, and what is written would pile up. A closed channel means
    # that this user may not publish there: it learns of no alarm.
    if not connection.reason and channel.is_open:
        channel.basic_publish(Message(b""), exchange="", routing_key=_NOWHERE)
    with suppress(TimeoutError, AccessRefused):
        while True:
            connection.drain_events(timeout=_LISTEN)
    return (connection.reason,) if connection.reason else ()


def _redis(client: Any) -> tuple[str, ...]:
    # Only processes that use Redis load its client.
    from redis.exceptions import NoPermissionError, ResponseError

    try:
        client.set(_NOWHERE, "", px=1000)
    except NoPermissionError:
        return ()  # Redis refuses this key, which says nothing about the others
    except ResponseError as error:
        return (str(error),)
    return ()
