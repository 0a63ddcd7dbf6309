"""The API's own record of the calls that it received: the view that the quota has to satisfy."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus


@dataclass(frozen=True)
class Call:
    """One call.

    Its time of receipt (ns of CLOCK_MONOTONIC), its path, and the HTTP status of the answer.
    """

    at_ns: int
    path: str
    status: int


@dataclass(frozen=True)
class Summary:
    """The calls of a record in figures, as a provider counts them.

    calls: every call made with the key, refused calls included. refused: the calls that were
    answered with 429. unauthorised: the calls without the key, which no other figure includes.
    worst_window: the most calls, refused calls included, in any interval of `window` seconds.
    first, last: when the first and the last call were received, in seconds of CLOCK_MONOTONIC; None
    when there was no call.
    """

    limit: int
    window: float
    calls: int
    refused: int
    unauthorised: int
    worst_window: int
    first: float | None
    last: float | None


def line(call: Call) -> bytes:
    """Return the call as one line of the record, newline included."""
    return json.dumps(asdict(call)).encode() + b"\n"


def read(lines: Iterable[bytes]) -> list[Call]:
    """Return the calls of a record.

    Raises ValueError or TypeError for a line that `line` has not made.
    """
    return [Call(**json.loads(text)) for text in lines]


def worst_window(stamps: Sequence[int], window: int) -> int:
    """Return the most stamps in any interval of length `window`, both ends included.

    The stamps may have any order. Without stamps the result is 0.
    """
    worst = 0
    recent: deque[int] = deque()
    for stamp in sorted(stamps):
        recent.append(stamp)
        while recent[0] + window < stamp:
            recent.popleft()
        worst = max(worst, len(recent))
    return worst


def summarise(calls: Sequence[Call], limit: int, window_ns: int) -> Summary:
    """Return the summary of a record in which every call was subject to the same limit."""
    known = [call for call in calls if call.status != HTTPStatus.UNAUTHORIZED]
    stamps = [call.at_ns for call in known]
    return Summary(
        limit=limit,
        window=window_ns / 1e9,
        calls=len(known),
        refused=sum(call.status == HTTPStatus.TOO_MANY_REQUESTS for call in known),
        unauthorised=len(calls) - len(known),
        worst_window=worst_window(stamps, window_ns),
        first=min(stamps) / 1e9 if stamps else None,
        last=max(stamps) / 1e9 if stamps else None,
    )
