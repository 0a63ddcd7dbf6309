"""Whether the broker refuses to take messages, asked with no more rights than a publisher has.

RabbitMQ under an alarm (disk, memory) stops reading from whoever publishes, and says so, with the reason, to that connection
alone. So a connection of its own publishes a message that no queue gets: nothing that matters can be blocked with it. Redis
answers a write with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from amqp import AccessRefused, Message, spec
from amqp.serialization import loads
from celery import Celery
from kombu.transport import pyamqp

from warren.config.sections import BrokerKind

#: Seconds that RabbitMQ's word is waited for; what comes later is heard at the next look.
_LISTEN = 0.3
#: Where the message goes: the exchange without a name, and no queue is called so. As a key of Redis it ends with the next second.
_NOWHERE = "warren.survey.nowhere"

#: The alarms that the broker has now, in its own words. Raises the errors of its connection.
Look = Callable[[], tuple[str, ...]]


@contextmanager
def alarms(app: Celery, kind: BrokerKind, connection: Any) -> Iterator[Look]:
    """How to look for alarms while `connection`, which is used for Redis only, holds."""
    if kind == "rabbitmq":
        listener = app.connection_for_write()
        listener.transport.Connection = _Listener
        try:
            listener.ensure_connection(max_retries=1, timeout=app.conf.broker_connection_timeout)
            channel = listener.channel()
            yield lambda: _rabbitmq(listener.connection, channel)
        finally:
            listener.collect()  # not closed in order: a blocked connection is not read, and would never answer
    elif kind == "redis":
        client = connection.default_channel.client
        yield lambda: _redis(client)
    else:
        yield tuple


class _Listener(pyamqp.Connection):
    """py-amqp tells that a connection is blocked, but not why: the reason is in the frame that it drops."""

    reason = ""

    def on_inbound_method(self, channel_id: int, method_sig: tuple[int, int], payload: Any, content: Any) -> Any:
        """Called for every method that comes in."""
        if method_sig == spec.Connection.Blocked:
            (self.reason,), _ = loads("s", payload, 4)
        elif method_sig == spec.Connection.Unblocked:
            self.reason = ""
        return super().on_inbound_method(channel_id, method_sig, payload, content)


def _rabbitmq(connection: Any, channel: Any) -> tuple[str, ...]:
    # Blocked, it is not read, and what is written would pile up. Closed, this user may not publish there: it hears of no alarm.
    if not connection.reason and channel.is_open:
        channel.basic_publish(Message(b""), exchange="", routing_key=_NOWHERE)
    with suppress(TimeoutError, AccessRefused):
        while True:
            connection.drain_events(timeout=_LISTEN)
    return (connection.reason,) if connection.reason else ()


def _redis(client: Any) -> tuple[str, ...]:
    from redis.exceptions import NoPermissionError, ResponseError  # only those who use Redis load it

    try:
        client.set(_NOWHERE, "", px=1000)
    except NoPermissionError:
        return ()  # it refuses this key, which says nothing of the others
    except ResponseError as error:
        return (str(error),)
    return ()
