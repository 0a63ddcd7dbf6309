"""What a run leaves on a broker that others use as well, and its removal."""

from __future__ import annotations

from contextlib import suppress

from celery import Celery

from warren.broker.connect import reach
from warren.broker.queue_names import beat_names
from warren.errors import Unavailable


def remove_traces(app: Celery, queues: tuple[str, ...]) -> None:
    """Removes from a broker what has the names of this run alone: its queues, and what its beats remember.

    A broker that is away by now keeps them; that is no reason to fail.
    """
    with suppress(Unavailable), reach(app) as connection, connection.channel() as channel:
        redis = connection.transport.driver_type == "redis"
        for name in queues:
            queue = app.amqp.queues[name].bind(channel)
            if redis:
                queue.declare()  # only a queue that this connection has bound is unbound again
            queue.delete()  # on RabbitMQ also one that it refused to have declared, and that is not there
        for name in beat_names(app.main):
            if redis:
                channel.client.delete(name)
            else:
                channel.queue_delete(name)
