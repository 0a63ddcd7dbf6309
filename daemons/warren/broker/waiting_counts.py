"""The counts of what waits outside the queues.

They count messages that are due later, tasks that must be sent on, and keys of Redis that held
garbage.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kombu.transport.native_delayed_delivery import MAX_LEVEL, level_name
from redis.exceptions import ResponseError

from warren.broker.embedded.delayed_messages import is_later
from warren.broker.queue_depth import depths_over
from warren.broker.queue_names import are_quorum, beat_names
from warren.broker.rabbitmq.delay_queues import forget, noted
from warren.broker.redis.bindings import ASIDE
from warren.broker.redis.redis_unacked import later_key
from warren.broker.rejected_count import names_in
from warren.config import Settings


class Waiting(NamedTuple):
    """Numbers of messages and of keys.

    later: None when the broker does not say the number.
    """

    later: int | None = 0
    returning: int = 0
    rejected_keys: int = 0


NOTHING = Waiting()


def waiting_over(connection: Any, settings: Settings) -> Waiting:
    """Return the counts over an open kombu connection. Raises the errors of the connection."""
    kind, returning = connection.transport.driver_type, returning_here(settings.app.state_dir)
    if kind == "redis":
        return _of_redis(connection, settings)._replace(returning=returning)
    later = (
        _of_rabbitmq(connection, settings)
        if kind == "amqp"
        else later_here(connection.transport.directory)
    )
    return Waiting(later, returning)


def waiting_here(state_dir: Path) -> Waiting:
    """Return the counts of the embedded broker, by its directories alone."""
    return Waiting(later_here(state_dir / "broker"), returning_here(state_dir))


def returning_here(state_dir: Path) -> int:
    """Return the number of tasks for other workers that are kept as files of this host.

    They are sent when RabbitMQ takes messages again.
    """
    return _files(state_dir / "returning", lambda name: not name.startswith("."))


def later_here(broker: Path) -> int:
    """Return how many messages of the embedded broker are due later, by its directories."""
    return _files(broker / "later", is_later)


def _files(directory: Path, counts: Callable[[str], bool]) -> int:
    return sum(
        counts(name) for below in names_in(directory) for name in names_in(directory / below)
    )


def _of_rabbitmq(connection: Any, settings: Settings) -> int:
    """Return the number of messages that are due later. Only existing queues are asked for.

    RabbitMQ writes an error into its log for each missing queue.
    """
    found = depths_over(connection, noted(settings.app.state_dir))
    for name in [name for name, messages in found.items() if messages is None]:
        forget(settings.app.state_dir, name)
    if are_quorum(settings):
        # Celery's own queues for delays, into which Warren's senders put messages. The first worker
        # makes all of them.
        first, *others = (level_name(level) for level in range(MAX_LEVEL + 1))
        delays = depths_over(connection, [first])
        found |= delays | (depths_over(connection, others) if delays[first] is not None else {})
    return sum(messages or 0 for messages in found.values())


def _of_redis(connection: Any, settings: Settings) -> Waiting:
    channel = connection.channel()
    try:
        keys = [*channel.kept_keys(list(settings.queues)), *beat_names(settings.app.name)]
        prefix = channel.global_keyprefix
        with channel.conn_or_acquire() as client:
            later = client.zcard(prefix + later_key(channel))
            return Waiting(later, 0, client.exists(*(f"{prefix}{ASIDE}{key}" for key in keys)))
    except ResponseError:
        # There is garbage in the place of the index, until a worker moves it; or this user may not
        # ask.
        return Waiting(None)
    finally:
        channel.close()
