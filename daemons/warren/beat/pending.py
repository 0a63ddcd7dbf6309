"""The acts of a step of beat: ticks to send, gaps to tell, and the broker's answers so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from warren.beat.ticks import Gap
from warren.broker.batch_publish import SinglePublish


@dataclass(frozen=True)
class PendingAct:
    """One tick to send, or the newest of a gap that is only told.

    `identity` is the id of the tick's task; empty for a gap that is only told.
    """

    tick: float
    name: str
    identity: str
    gap: Gap | None


@dataclass
class OnWay:
    """Acts whose ticks are with the broker, and its answers; ids that need no answer."""

    answers: SinglePublish
    acts: list[PendingAct]
    left_out: set[str]
    #: Ticks whose sending had begun before these, by entry.
    before: Mapping[str, tuple[float, ...]]
    #: Entries of which a tick could not be sent: the later ticks wait for it.
    failed: set[str]

    def done(self, act: PendingAct) -> bool:
        """Return whether the act only has to be remembered."""
        return (
            not act.identity or act.identity in self.answers.taken or act.identity in self.left_out
        )


def by_entry(acts: list[PendingAct]) -> dict[str, tuple[float, ...]]:
    """Return the ticks that are sent by these acts, by entry."""
    found: dict[str, tuple[float, ...]] = {}
    for act in acts:
        if act.identity:
            found[act.name] = (*found.get(act.name, ()), act.tick)
    return found


def begun_behind(
    ticks: Mapping[str, float], *begun: Mapping[str, Collection[float]]
) -> dict[str, tuple[float, ...]]:
    """Return all of `begun` that is later than the last handled tick (`ticks`), by entry."""
    names = {name for each in begun for name in each if name in ticks}
    found = {
        name: {tick for each in begun for tick in each.get(name, ()) if tick > ticks[name]}
        for name in names
    }
    return {name: tuple(sorted(each)) for name, each in found.items() if each}
