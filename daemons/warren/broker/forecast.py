"""Where a queue's depth goes: a straight line through what was seen of late. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Seconds that are looked back: long enough for a line through the jumps of tasks, short enough to follow a change.
MEMORY = 180.0
#: Seconds that say whether the queue grows or drains now: after a burst the line of MEMORY rises for minutes still.
RECENT = 30.0
#: Seconds that a line must span before anything is foretold for hours ahead.
SURE = 60.0
#: A change (messages a second) below this is none: one message in three hours.
_STEADY = 1e-4

#: When (seconds of CLOCK_BOOTTIME) how many messages were in the queue.
Sample = tuple[float, int]


@dataclass(frozen=True)
class Forecast:
    """Where a queue goes.

    `growth_per_s`: messages a second over all that is remembered, negative when the queue drains. `empty_in_s`: None when it
    does not drain. `seen_s`: the seconds that the line spans. `recent_per_s`: the growth of the last seconds, which alone
    knows that a burst is over.
    """

    growth_per_s: float
    empty_in_s: float | None
    seen_s: float
    recent_per_s: float = 0.0

    def reaches(self, depth: int, now: int) -> float | None:
        """Seconds until the queue, `now` messages deep, holds `depth`; None when it does not grow, or cannot be foretold yet."""
        if self.growth_per_s <= 0 or self.seen_s < SURE:
            return None
        return max(0.0, (depth - now) / self.growth_per_s)


def remembered(samples: Sequence[Sample], now: float) -> list[Sample]:
    """The samples that still count."""
    return [sample for sample in samples if now - sample[0] <= MEMORY]


def forecast(samples: Sequence[Sample]) -> Forecast:
    """The least-squares line through the samples, oldest first, since the queue was last empty: there the line has a bend."""
    last_empty = max((number for number, (_, depth) in enumerate(samples) if depth == 0), default=0)
    line = samples[last_empty:]
    if len(line) < 3:  # two points say nothing of how well they lie on a line
        return Forecast(0.0, 0.0 if line and line[-1][1] == 0 else None, 0.0)
    growth = _slope(line)
    latest = [sample for sample in line if line[-1][0] - sample[0] <= RECENT]
    recent = _slope(latest) if len(latest) >= 3 else growth
    pace = growth if (growth > 0, growth < 0) == (recent > 0, recent < 0) else recent
    empty_in = line[-1][1] / -pace if pace < 0 else None
    return Forecast(growth, empty_in, line[-1][0] - line[0][0], recent)


def _slope(line: Sequence[Sample]) -> float:
    """The slope of the least-squares line, messages a second."""
    mean_at = sum(at for at, _ in line) / len(line)
    mean_depth = sum(depth for _, depth in line) / len(line)
    spread = sum((at - mean_at) ** 2 for at, _ in line)
    growth = sum((at - mean_at) * (depth - mean_depth) for at, depth in line) / spread if spread else 0.0
    return growth if abs(growth) >= _STEADY else 0.0
