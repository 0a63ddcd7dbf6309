"""Whether a worker's pool is blocked: every child has run one task for long, and messages wait. Pure: another file tells.

Nothing is done about it: nobody but the team knows how long its tasks may take. A time limit is what ends one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from warren.run_file import now
from warren.supervise.hearts import Sight
from warren.supervise.stuck import waiting


@dataclass(frozen=True)
class Blocked:
    """One worker process whose children have run the same tasks since `since` (CLOCK_BOOTTIME) while messages wait."""

    pid: int
    since: float
    tasks: tuple[str, ...]
    waiting: dict[str, int]

    @property
    def seconds(self) -> float:
        """For how long, so far."""
        return max(0.0, now() - self.since)

    @property
    def warning(self) -> str:
        """For people."""
        messages = sum(self.waiting.values())
        ids = f", the oldest {', '.join(self.tasks)}" if self.tasks else ""
        return (
            f"blocked: no process of it has ended a task for {_for(self.seconds)}, while {messages} "
            f"{'message waits' if messages == 1 else 'messages wait'}{ids}"
        )


def _for(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def blocked(sight: Sight, queues: Mapping[str, int], timeout: float) -> Blocked | None:
    """The state of a worker for queues with so many messages each; None when it is not blocked, or `timeout` is 0."""
    said = sight.beat.evidence if sight.beat else {}
    since, oldest = said.get("busy_since"), said.get("oldest")
    if not timeout or sight.state != "ready" or not isinstance(since, int | float) or now() - since < timeout:
        return None
    left = waiting(sight, queues)
    if not left:
        return None
    tasks = [each.get("id") for each in oldest if isinstance(each, dict)] if isinstance(oldest, list) else []
    return Blocked(sight.pid, float(since), tuple(str(each) for each in tasks), left)
