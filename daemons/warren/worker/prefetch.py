"""The prefetch of classic queues on RabbitMQ 4, made raisable as on RabbitMQ 3.

Celery raises the prefetch for messages that stay in the worker for a while, such as tasks that are
due later while an alarm lets no message go back. This needs the prefetch of a channel (`global`). A
consumer's own prefetch is fixed from its start: with it, a few messages that stay would delay all
other messages. kombu 5.7 assumes that RabbitMQ 4 has no prefetch of a channel. But versions up to
4.2 have it, unless an administrator forbids it.
"""

from __future__ import annotations

from typing import Any

from amqp.exceptions import AMQPError
from celery.utils.quorum_queues import detect_quorum_queues
from kombu.utils.text import version_string_as_tuple

#: The versions of RabbitMQ that have this prefetch although kombu says otherwise.
_FROM, _BEFORE = (4, 0), (4, 3)


def ask_for_raisable(app: Any, connection: Any) -> None:
    """Have Celery use the prefetch of the channel on this connection, if the broker grants it.

    kombu says that the broker does not grant it. Quorum queues have no such prefetch: Celery itself
    checks for quorum queues after it has asked kombu.
    """
    transport = connection.transport
    if (
        not connection.qos_semantics_matches_spec
        or detect_quorum_queues(app, transport.driver_type)[0]
    ):
        return
    if may_be_granted(transport.driver_type, connection.connection) and _granted(connection):
        # This replaces kombu's answer for this connection only.
        transport.qos_semantics_matches_spec = lambda connection: False


def may_be_granted(driver: str, connection: Any) -> bool:
    """Return whether the broker may have the prefetch of a channel although kombu denies it."""
    properties = connection.server_properties if driver == "amqp" else {}
    if properties.get("product") != "RabbitMQ" or not properties.get("version"):
        return False
    return _FROM <= tuple(version_string_as_tuple(properties["version"])[:2]) < _BEFORE


def _granted(connection: Any) -> bool:
    """Return whether the broker grants the prefetch of a channel.

    Asks over a separate connection: if the prefetch is forbidden, RabbitMQ ends the connection that
    asks.
    """
    try:
        with connection.clone() as probe:
            probe.connect()  # Once: `default_channel` would try for as long as the broker is away.
            probe.channel().basic_qos(0, 1, True)
    except (AMQPError, OSError):
        return False
    return True
