"""The findings of the health checks, with their levels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """The severity of a finding. Its number is the exit code of `warren health`.

    Monitoring plugins use the same numbers.
    """

    OK = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class Finding:
    """One result of one of `CHECKS`."""

    check: str
    level: Level
    text: str


#: The checks. Where one part's failure causes that of another part, the cause comes first.
CHECKS = (
    *("supervisord", "worker", "beat", "quota-watchdog", "web"),
    *("broker", "queues", "quotas", "disk"),
)


def span(seconds: float) -> str:
    """Return a time in seconds as text for people: 34 s, 3 min, 2 h, 5 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (unit == "min" and seconds >= 100):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
