"""The removal of a run's traces from a broker that others use as well."""

from __future__ import annotations

from contextlib import suppress

from celery import Celery

from warren.broker.connect import reach
from warren.broker.queue_names import beat_names
from warren.errors import Unavailable


def remove_traces(app: Celery, queues: tuple[str, ...]) -> None:
    """Remove from a broker all that has this run's own names: its queues, and its beats' state.

    When the broker cannot be reached any more, these stay. That is no reason to fail.
    """
    with suppress(Unavailable), reach(app) as connection, connection.channel() as channel:
        redis = connection.transport.driver_type == "redis"
        for name in queues:
            queue = app.amqp.queues[name].bind(channel)
            if redis:
                queue.declare()  # a connection unbinds only queues that it has bound itself
            queue.delete()  # on RabbitMQ also a queue that it refused to declare, so not existing
        for name in beat_names(app.main):
            if redis:
                channel.client.delete(name)
            else:
                channel.queue_delete(name)
