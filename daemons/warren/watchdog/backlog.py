"""The recent depths of a queue, and whether they are worth a warning. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from warren.watchdog.forecast import Forecast, Sample, forecast, remembered

#: Seconds. A warning is due when the queue grows to `critical` within this time.
SOON = 3600.0
#: A level holds until the depth is below this part of the depth that reached it: the depth of a
#: queue swings around any number.
_RELEASE = 0.9


@dataclass(frozen=True)
class Backlog:
    """The depths of one queue, oldest first, and its level.

    level: 0 normal, 1 warning, 2 critical.
    """

    samples: tuple[Sample, ...] = ()
    level: int = 0

    @property
    def forecast(self) -> Forecast:
        """The forecast of the depth."""
        return forecast(self.samples)

    def seen(self, at: float, depth: int, warning: int, critical: int) -> Backlog:
        """Return this backlog with one more sample.

        at: seconds of CLOCK_BOOTTIME. depth: messages. warning, critical: depths in messages.
        """
        samples = (*remembered(self.samples, at), (at, depth))
        return Backlog(
            samples,
            _level(
                depth, forecast(samples).reaches(critical, depth), warning, critical, self.level
            ),
        )


def _level(
    depth: int, critical_in_s: float | None, warning: int, critical: int, before: int
) -> int:
    def holds(limit: int, level: int) -> bool:
        return depth >= (limit * _RELEASE if before >= level else limit)

    if holds(critical, 2):
        return 2
    soon = SOON * 2 if before else SOON  # the rate swings as well
    return int(holds(warning, 1) or (critical_in_s is not None and critical_in_s <= soon))
