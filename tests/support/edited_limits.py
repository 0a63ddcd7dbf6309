"""A checker of calls under limits that are edited.

It knows what a provider saw, and which limits may have been in force when.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple


class Seen(NamedTuple):
    """One call as the provider saw it.

    Seconds since boot; who asks for a slot notes it before he does.
    """

    stamped: float
    asked: float


@dataclass
class Limits:
    """A limit of calls in any `window` (seconds).

    It has the times from which and until which it may have been in force.
    """

    limit: int
    window: float
    since: float
    until: float = inf


@dataclass
class Verdict:
    """What a record of calls came to."""

    calls: int = 0
    #: The calls for which one text of the terms alone comes into question.
    judged: int = 0
    #: When, counted, limit: of windows that hold more calls than any terms allow that may have let
    #: the last one through.
    over: list[tuple[float, int, int]] = field(default_factory=list)
    #: The most that a window of one text's held, as a share of its limit.
    fullest: float = 0.0


def judge(calls: Iterable[Seen], texts: Sequence[Limits]) -> Verdict:
    """Look at the window that ends with each call.

    All calls of a window hold a slot at the moment when the last of them to get one gets it. So
    they are no more than the limit by the terms of that moment, which lies between the latest of
    their asking and the end of the window.
    """
    seen = sorted(calls)
    found = Verdict(len(seen))
    first = dict.fromkeys(range(len(texts)), 0)
    for last, call in enumerate(seen):
        allowed = []
        for number, limits in enumerate(texts):
            while seen[first[number]].stamped <= call.stamped - limits.window:
                first[number] += 1
            if not limits.since <= call.stamped:
                continue
            window = seen[first[number] : last + 1]
            if limits.until >= max(one.asked for one in window):
                allowed.append((len(window), limits.limit))
        found.judged += len(allowed) == 1
        if len(allowed) == 1:
            found.fullest = max(found.fullest, allowed[0][0] / allowed[0][1])
        if all(counted > limit for counted, limit in allowed):
            counted, limit = max(allowed, key=lambda one: one[1], default=(0, 0))
            found.over.append((call.stamped, counted, limit))
    return found
