"""A true sliding window: no interval of the window's length ever holds more admitted calls than the limit."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What the limiter says to one call.

    `remaining` is how many further calls it would admit at the same instant, 0 or more. `wait_ns` is how long after
    this call the next one is admitted, in nanoseconds, 0 when there is room at once.
    """

    admitted: bool
    remaining: int
    wait_ns: int


class SlidingWindow:
    """Remembers the instant of every admitted call for as long as it counts.

    The window is closed at both ends: two calls exactly one window apart still share it, because a provider may
    count either way and the stricter reading is the safe one.
    """

    def __init__(self, limit: int, window_ns: int) -> None:
        if limit < 1 or window_ns < 1:
            raise ValueError(f"expected a limit and a window of at least 1, found {limit} and {window_ns}")
        self._limit = limit
        self._window_ns = window_ns
        self._admitted: deque[int] = deque()

    def admit(self, now_ns: int) -> Verdict:
        """Decides on a call received at `now_ns`, which must not be less than that of the call before it.

        A refused call leaves no trace: it does not push back the calls after it.
        """
        while self._admitted and self._admitted[0] + self._window_ns < now_ns:
            self._admitted.popleft()
        admitted = len(self._admitted) < self._limit
        if admitted:
            self._admitted.append(now_ns)
        remaining = self._limit - len(self._admitted)
        wait_ns = 0 if remaining else self._admitted[0] + self._window_ns + 1 - now_ns
        return Verdict(admitted, remaining, wait_ns)
