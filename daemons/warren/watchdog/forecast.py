"""The forecast of a queue's depth: a straight line through the recent depths. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: The seconds of samples that count. So many seconds give a straight line through the jumps of
#: tasks, and still follow a change.
MEMORY = 180.0
#: The seconds that show whether the queue grows or drains now. After a burst the line of MEMORY
#: seconds still rises for minutes.
RECENT = 30.0
#: The seconds that the samples must span before their line forecasts hours.
SURE = 60.0
#: Messages a second. A smaller growth counts as no growth: this is one message in three hours.
_STEADY = 1e-4

#: A time (seconds of CLOCK_BOOTTIME), and the number of messages in the queue at that time.
Sample = tuple[float, int]


@dataclass(frozen=True)
class Forecast:
    """The growth of a queue, and when the queue will be empty.

    growth_per_s: messages a second over all samples, negative when the queue drains. empty_in_s:
    seconds; None when the queue does not drain. seen_s: the seconds that the samples span.
    recent_per_s: messages a second over the last seconds; only this number shows at once that a
    burst is over.
    """

    growth_per_s: float
    empty_in_s: float | None
    seen_s: float
    recent_per_s: float = 0.0

    def reaches(self, depth: int, now: int) -> float | None:
        """Return the seconds until the queue holds `depth` messages.

        now: the messages that the queue holds now. Returns None when the queue does not grow, or
        when it is too early for a forecast.
        """
        if self.growth_per_s <= 0 or self.seen_s < SURE:
            return None
        return max(0.0, (depth - now) / self.growth_per_s)


def remembered(samples: Sequence[Sample], now: float) -> list[Sample]:
    """Return the samples that still count."""
    return [sample for sample in samples if now - sample[0] <= MEMORY]


def forecast(samples: Sequence[Sample]) -> Forecast:
    """Return the forecast of the least-squares line through the samples, oldest first.

    The line begins where the queue was last empty, because the depth has a bend there.
    """
    last_empty = max((number for number, (_, depth) in enumerate(samples) if depth == 0), default=0)
    line = samples[last_empty:]
    if len(line) < 3:  # two points do not show how well they lie on a line
        return Forecast(0.0, 0.0 if line and line[-1][1] == 0 else None, 0.0)
    growth = _slope(line)
    latest = [sample for sample in line if line[-1][0] - sample[0] <= RECENT]
    recent = _slope(latest) if len(latest) >= 3 else growth
    pace = growth if (growth > 0, growth < 0) == (recent > 0, recent < 0) else recent
    empty_in = line[-1][1] / -pace if pace < 0 else None
    return Forecast(growth, empty_in, line[-1][0] - line[0][0], recent)


def _slope(line: Sequence[Sample]) -> float:
    """Return the slope of the least-squares line, in messages a second."""
    mean_at = sum(at for at, _ in line) / len(line)
    mean_depth = sum(depth for _, depth in line) / len(line)
    spread = sum((at - mean_at) ** 2 for at, _ in line)
    growth = (
        sum((at - mean_at) * (depth - mean_depth) for at, depth in line) / spread if spread else 0.0
    )
    return growth if abs(growth) >= _STEADY else 0.0
