"""Whether a worker is stuck: connected, with room and messages before it, and it takes nothing. Pure: another file acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from warren.supervise.hearts import Sight

#: Seconds for which a beat is believed; an older heart is a matter of hanging, not of idleness.
_FRESH = 5.0
#: A worker whose restarts do not help is restarted ever more rarely: its patience doubles up to so many times.
_DOUBLINGS = 6


@dataclass(frozen=True)
class Idleness:
    """How long (seconds of the supervisor's loop) one worker process has taken nothing although it could have.

    `progress` is what it had taken and begun when it last moved. `restarts` counts those that have not helped.
    """

    pid: int
    progress: tuple[int, int]
    seconds: float = 0.0
    restarts: int = 0


def judge(before: Idleness | None, sight: Sight, queues: Mapping[str, int], turn: float) -> Idleness | None:
    """The idleness of a worker `turn` seconds after `before`, for queues with so many messages each.

    None when its heart does not say what it takes: a heart of an older version, or none yet.
    """
    progress = _progress(sight)
    if sight.beat is None or progress is None:
        return before
    restarts = before.restarts if before else 0
    if before is None or before.pid != sight.pid:  # whether the restart has helped is not known yet
        return Idleness(sight.pid, progress, 0.0, restarts)
    if before.progress != progress:
        return Idleness(sight.pid, progress)
    could = sight.state == "ready" and sight.silence < _FRESH and _has_room(sight) and bool(waiting(sight, queues))
    return Idleness(sight.pid, progress, before.seconds + turn if could else 0.0, restarts)


def is_stuck(idleness: Idleness, stuck_timeout: float) -> bool:
    """Whether it is time to start the worker again."""
    return idleness.seconds >= stuck_timeout * (1 << min(idleness.restarts, _DOUBLINGS))


def waiting(sight: Sight, queues: Mapping[str, int]) -> dict[str, int]:
    """The queues with messages that the worker consumes now; those that a quota pauses are not among them."""
    consumed = sight.beat.evidence.get("queues", ()) if sight.beat else ()
    return {name: queues[name] for name in consumed if queues.get(name, 0) > 0}


def _progress(sight: Sight) -> tuple[int, int] | None:
    said: dict[str, Any] = sight.beat.evidence if sight.beat else {}
    taken, begun = said.get("taken"), said.get("begun")
    return (taken, begun) if isinstance(taken, int) and isinstance(begun, int) else None


def _has_room(sight: Sight) -> bool:
    said = sight.beat.evidence if sight.beat else {}
    running, concurrency = said.get("running"), said.get("concurrency")
    return isinstance(running, int) and isinstance(concurrency, int) and running < concurrency
