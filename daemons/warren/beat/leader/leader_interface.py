"""The leadership: which beat of a fleet sends, and what the next leader must know.

Each kind of broker has its own leadership. On every broker the id of a task follows from the entry
and the tick. So when two leaders send the same tick around a change of the leader, both messages
are one task.
"""

from __future__ import annotations

from typing import Any, Protocol

from celery import Celery

from warren.beat.last_ticks import KnownTicks, LastTicks
from warren.beat.leader.embedded_leader import EmbeddedLeader
from warren.beat.leader.rabbitmq_leader import RabbitMQLeader
from warren.beat.leader.redis_leader import RedisLeader
from warren.broker.batch_publish import SinglePublish
from warren.broker.queue_names import beat_names
from warren.config import Settings


class Leader(Protocol):
    """The leadership as one beat sees it.

    Every method but `resign` raises Unavailable when the broker cannot be asked.
    """

    def lead(self) -> bool:
        """Take or keep the leadership; return whether this beat has it."""

    def recall(self) -> KnownTicks:
        """Return the ticks as the last leader of the fleet knew them."""

    def keep(self, known: KnownTicks) -> None:
        """Keep the ticks for the next leader."""

    def options(self) -> dict[str, Any]:
        """Return the options with which `apply_async` sends a task only as the leader."""

    def batch(self) -> SinglePublish:
        """Return an object that collects the broker's answers.

        The answers are to the messages that are published within its `with` block, with these
        options.
        """

    def wait(self, batch: SinglePublish) -> None:
        """Return when the broker has answered for each message of the batch."""

    def resign(self) -> None:
        """Let another beat lead."""


def leader(settings: Settings, app: Celery) -> Leader:
    """Return the leadership that fits the broker of the settings."""
    if settings.broker.kind == "rabbitmq":
        return RabbitMQLeader(app, *beat_names(settings.app.name))
    if settings.broker.kind == "redis":
        return RedisLeader(app.conf.broker_url.split(";")[0], *beat_names(settings.app.name))
    return EmbeddedLeader(LastTicks(settings.app.state_dir / "beat" / "ticks.json"))
