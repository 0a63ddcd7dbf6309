"""The API's own record of the calls it received: the provider's view, which the quota has to satisfy."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus


@dataclass(frozen=True)
class Call:
    """One call: CLOCK_MONOTONIC at its receipt in nanoseconds, the path asked for, the HTTP status answered."""

    at_ns: int
    path: str
    status: int


@dataclass(frozen=True)
class Summary:
    """What a provider would hold against the caller.

    `calls` counts every call made with the key, refused ones included; `refused` those answered 429; `unauthorised`
    those without the key, which are in no other figure. `worst_window` is the most calls, refused ones included, that
    any interval of `window` seconds held. `first` and `last` are the receipt of the first and last call in seconds
    of CLOCK_MONOTONIC, None when there was none.
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
    """The call as one line of the record, newline included."""
    return json.dumps(asdict(call)).encode() + b"\n"


def read(lines: Iterable[bytes]) -> list[Call]:
    """The calls of a record; raises ValueError or TypeError on a line that `line` has not made."""
    return [Call(**json.loads(text)) for text in lines]


def worst_window(stamps: Sequence[int], window: int) -> int:
    """The most stamps that any interval of length `window`, ends included, holds; 0 for no stamps. Any order."""
    worst = 0
    recent: deque[int] = deque()
    for stamp in sorted(stamps):
        recent.append(stamp)
        while recent[0] + window < stamp:
            recent.popleft()
        worst = max(worst, len(recent))
    return worst


def summarise(calls: Sequence[Call], limit: int, window_ns: int) -> Summary:
    """Adds up a record in which every call was subject to the same limit."""
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
