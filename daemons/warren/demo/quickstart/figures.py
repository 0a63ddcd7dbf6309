"""What happened in a run, and whether it is what Warren promises. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

BATCH = ((2, 2), (4, 4), (8, 8), (16, 16))
SUMS = [4, 8, 16, 32]


@dataclass(frozen=True)
class Figures:
    """`calls`, `refused` and `worst_window` as the API saw them (`record.Summary`), under `limit` calls in `window`
    seconds; `duration` is the time from the first call to the last. `lost` documents were asked for and are not there,
    or not as the API has them. `ticks` is how often the schedule entry's task ran."""

    documents: int
    calls: int
    refused: int
    worst_window: int
    limit: int
    window: float
    duration: float
    batch: list[int]
    ticks: int
    lost: int

    @property
    def use(self) -> float:
        """The calls made as a share of those that the limit allowed in the time they took."""
        return self.calls / allowed(self.limit, self.window, self.duration)

    @property
    def telling(self) -> bool:
        """Whether `use` says anything: a run of less than three windows' worth of documents is mostly its first burst."""
        return self.documents >= 3 * self.limit

    def as_json(self) -> str:
        """The figures as one object on one line."""
        names = ("documents", "calls", "refused", "worst_window", "limit", "use", "batch", "ticks", "lost")
        return json.dumps({name: getattr(self, name) for name in names} | {"use": round(self.use, 4)})


def allowed(limit: int, window: float, duration: float) -> float:
    """The most calls that a sliding window lets anybody make within `duration` seconds: a full burst at its beginning,
    then `limit` more for each `window` that passes. So 300 calls under 60/10s take at least 40 s, not 50."""
    return limit * (1 + duration / window)


def shortest(calls: int, limit: int, window: float) -> float:
    """Seconds that so many calls take at the least: the bursts after the first each wait for a window."""
    return max(0, -(-calls // limit) - 1) * window


def problems(figures: Figures) -> list[str]:
    """What was promised and did not happen, one line each; empty when all did."""
    checks = [
        (figures.refused == 0, f"refused: expected no call refused by the API, found {figures.refused}"),
        (
            figures.worst_window <= figures.limit,
            f"worst_window: expected at most {figures.limit} calls in {figures.window:g} s, found {figures.worst_window}",
        ),
        (figures.lost == 0, f"lost: expected every document, found {figures.lost} of {figures.documents} missing"),
        (figures.batch == SUMS, f"batch: expected {SUMS}, found {figures.batch}"),
        (figures.ticks >= 1, "ticks: expected the schedule entry to have fired, found no tick"),
    ]
    return [text for kept, text in checks if not kept]


def ticks(lines: Iterable[str]) -> int:
    """How many ticks a file of ticks holds; a task that was delivered twice counts once, a line still being written not."""
    return len({json.loads(line)["task_id"] for line in lines if line.endswith("\n")})
