"""What a look at the suite finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad it is; the number is the exit code of `warren health`, as monitoring plugins have it."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class Finding:
    """One thing that was found by one of `CHECKS`."""

    check: str
    level: Level
    text: str


#: What can be looked at, in the order in which one thing causes the next.
CHECKS = ("supervisord", "worker", "beat", "quota-watchdog", "broker", "queues", "quotas", "disk")


def span(seconds: float) -> str:
    """A time for people: 34 s, 3 min, 2 h, 5 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (unit == "min" and seconds >= 100):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
