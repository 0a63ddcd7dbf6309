"""The prefetch of classic queues on RabbitMQ 4, which can be raised as on RabbitMQ 3.

Celery raises it for messages that stay in the worker for a while, such as those that are due later
while an alarm lets none go back. That needs the prefetch of a channel (`global`): a consumer's own
is fixed from its start, and then two messages that stay hold up every other one. kombu 5.7 takes
RabbitMQ 4 not to have it, and yet it has: up to 4.2, where nobody forbids it.
"""

from __future__ import annotations

from typing import Any

from amqp.exceptions import AMQPError
from celery.utils.quorum_queues import detect_quorum_queues
from kombu.utils.text import version_string_as_tuple

#: The versions of RabbitMQ that have it, and for which kombu says otherwise.
_FROM, _BEFORE = (4, 0), (4, 3)


def ask_for_raisable(app: Any, connection: Any) -> None:
    """Have Celery use the prefetch of the channel on this connection, where kombu says no and the
    broker grants it.

    Not with quorum queues, which have none such: Celery itself looks for them, after kombu.
    """
    transport = connection.transport
    if (
        not connection.qos_semantics_matches_spec
        or detect_quorum_queues(app, transport.driver_type)[0]
    ):
        return
    if may_be_granted(transport.driver_type, connection.connection) and _granted(connection):
        # what kombu says, for this connection alone
        transport.qos_semantics_matches_spec = lambda connection: False


def may_be_granted(driver: str, connection: Any) -> bool:
    """Whether the broker is one that has the prefetch of a channel although kombu says that it has
    not.
    """
    properties = connection.server_properties if driver == "amqp" else {}
    if properties.get("product") != "RabbitMQ" or not properties.get("version"):
        return False
    return _FROM <= tuple(version_string_as_tuple(properties["version"])[:2]) < _BEFORE


def _granted(connection: Any) -> bool:
    """Ask over a connection of its own: where it is forbidden, RabbitMQ ends the one that asks."""
    try:
        with connection.clone() as probe:
            probe.connect()  # once: `default_channel` would try for as long as the broker is away
            probe.channel().basic_qos(0, 1, True)
    except (AMQPError, OSError):
        return False
    return True
