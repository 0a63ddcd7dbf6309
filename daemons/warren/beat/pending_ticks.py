"""The acts of a step of beat: ticks to send and gaps to log, with the broker's answers so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from warren.beat.ticks import Gap
from warren.broker.batch_publish import SinglePublish


@dataclass(frozen=True)
class PendingAct:
    """One tick to send, or the newest tick of a gap that is only logged.

    identity: the id of the tick's task; empty for a gap that is only logged.
    """

    tick: float
    name: str
    identity: str
    gap: Gap | None


@dataclass
class OnWay:
    """Acts whose ticks were sent to the broker, and the broker's answers so far.

    left_out: ids of tasks that could not be sent, and that need no answer.
    """

    answers: SinglePublish
    acts: list[PendingAct]
    left_out: set[str]
    #: Ticks whose sending had begun before these acts, by entry.
    before: Mapping[str, tuple[float, ...]]
    #: Entries with a tick that could not be sent. Their later ticks wait for that tick.
    failed: set[str]

    def done(self, act: PendingAct) -> bool:
        """Return whether the act is finished and only has to be remembered."""
        return (
            not act.identity or act.identity in self.answers.taken or act.identity in self.left_out
        )


def by_entry(acts: list[PendingAct]) -> dict[str, tuple[float, ...]]:
    """Return the ticks that these acts send, by entry."""
    found: dict[str, tuple[float, ...]] = {}
    for act in acts:
        if act.identity:
            found[act.name] = (*found.get(act.name, ()), act.tick)
    return found


def begun_behind(
    ticks: Mapping[str, float], *begun: Mapping[str, Collection[float]]
) -> dict[str, tuple[float, ...]]:
    """Return the ticks in `begun` that are later than the last handled tick of their entry, by
    entry.

    ticks: the last handled ticks. All ticks are in seconds since the epoch.
    """
    names = {name for each in begun for name in each if name in ticks}
    found = {
        name: {tick for each in begun for tick in each.get(name, ()) if tick > ticks[name]}
        for name in names
    }
    return {name: tuple(sorted(each)) for name, each in found.items() if each}
