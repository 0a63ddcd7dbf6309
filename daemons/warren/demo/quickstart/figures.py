"""The figures of a run, compared with Warren's guarantees. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

BATCH = ((2, 2), (4, 4), (8, 8), (16, 16))
SUMS = [4, 8, 16, 32]


@dataclass(frozen=True)
class Figures:
    """The figures of one run.

    `calls`, `refused` and `worst_window` are what the API saw (`call_record.Summary`), under
    `limit` calls in `window` seconds. `duration` is the time from the first call to the last, in
    seconds. `lost` counts the requested documents that are missing or differ from those of the API.
    `ticks` is how often the schedule entry's task ran.
    """

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
        """The calls made, as a share of the calls that the limit allowed in their time."""
        return self.calls / allowed(self.limit, self.window, self.duration)

    @property
    def telling(self) -> bool:
        """Whether `use` is meaningful.

        A run with fewer documents than three windows allow is mostly its first burst.
        """
        return self.documents >= 3 * self.limit

    def as_json(self) -> str:
        """Return the figures as one JSON object on one line."""
        names = (
            "documents",
            "calls",
            "refused",
            "worst_window",
            "limit",
            "use",
            "batch",
            "ticks",
            "lost",
        )
        return json.dumps(
            {name: getattr(self, name) for name in names} | {"use": round(self.use, 4)}
        )


def allowed(limit: int, window: float, duration: float) -> float:
    """Return the most calls that a sliding window allows within `duration` seconds.

    These are a full burst at the beginning, then `limit` more calls for each `window` seconds that
    pass. So 300 calls under 60/10s take at least 40 s, not 50 s.
    """
    return limit * (1 + duration / window)


def shortest(calls: int, limit: int, window: float) -> float:
    """Return the least seconds that so many calls take.

    Each burst after the first waits for a window.
    """
    return max(0, -(-calls // limit) - 1) * window


def problems(figures: Figures) -> list[str]:
    """Return one line for each guarantee that was not kept; empty when all were kept."""
    checks = [
        (
            figures.refused == 0,
            f"refused: expected no call refused by the API, found {figures.refused}",
        ),
        (
            figures.worst_window <= figures.limit,
            (
                f"worst_window: expected at most {figures.limit} calls in {figures.window:g} s, "
                f"found {figures.worst_window}"
            ),
        ),
        (
            figures.lost == 0,
            f"lost: expected every document, found {figures.lost} of {figures.documents} missing",
        ),
        (figures.batch == SUMS, f"batch: expected {SUMS}, found {figures.batch}"),
        (figures.ticks >= 1, "ticks: expected the schedule entry to have fired, found no tick"),
    ]
    return [text for kept, text in checks if not kept]


def ticks(lines: Iterable[str]) -> int:
    """Return the number of ticks in a file of ticks.

    A task that was delivered twice counts once. A line that is still being written does not count.
    """
    return len({json.loads(line)["task_id"] for line in lines if line.endswith("\n")})
