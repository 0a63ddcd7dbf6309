"""Who sends: of all beats of a fleet the one that holds the leadership, and what the next leader
must know.

What the leadership is depends on the broker. Everywhere the ids of the tasks follow from entry and
tick, so that a tick that two leaders send around a hand-over is one task.
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
        """Takes or keeps the leadership; True while this beat has it."""

    def recall(self) -> KnownTicks:
        """The ticks as the last leader knew them, whichever it was."""

    def keep(self, known: KnownTicks) -> None:
        """Remembers them for the next leader."""

    def options(self) -> dict[str, Any]:
        """What `apply_async` needs so that the task is sent by the leader only."""

    def batch(self) -> SinglePublish:
        """The answers to what is published within its block, with these options."""

    def wait(self, batch: SinglePublish) -> None:
        """Returns when the broker has answered for each of the batch."""

    def resign(self) -> None:
        """Lets another lead."""


def leader(settings: Settings, app: Celery) -> Leader:
    """The leadership that fits the broker of the settings."""
    if settings.broker.kind == "rabbitmq":
        return RabbitMQLeader(app, *beat_names(app.main))
    if settings.broker.kind == "redis":
        return RedisLeader(app.conf.broker_url.split(";")[0], *beat_names(app.main))
    return EmbeddedLeader(LastTicks(settings.app.state_dir / "beat" / "ticks.json"))
