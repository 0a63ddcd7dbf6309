"""An exact sliding window: no interval of its length holds more admitted calls than the limit."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """The limiter's decision on one call.

    `remaining` is the number of further calls that would be admitted at the same instant, 0 or
    more. `wait_ns` is the time after this call until the next call is admitted, in nanoseconds; 0
    when the next call is admitted at once.
    """

    admitted: bool
    remaining: int
    wait_ns: int


class SlidingWindow:
    """A limiter that stores the time of every admitted call as long as the call counts.

    The window is closed at both ends: two calls exactly one window apart are still in the same
    window, because a provider may count either way and the stricter way is the safe one.
    """

    def __init__(self, limit: int, window_ns: int) -> None:
        if limit < 1 or window_ns < 1:
            raise ValueError(
                f"expected a limit and a window of at least 1, found {limit} and {window_ns}"
            )
        self._limit = limit
        self._window_ns = window_ns
        self._admitted: deque[int] = deque()

    def admit(self, now_ns: int) -> Verdict:
        """Decide on a call received at `now_ns`, which must not be before the previous call's.

        A refused call is not stored, so it does not delay the calls after it.
        """
        while self._admitted and self._admitted[0] + self._window_ns < now_ns:
            self._admitted.popleft()
        admitted = len(self._admitted) < self._limit
        if admitted:
            self._admitted.append(now_ns)
        remaining = self._limit - len(self._admitted)
        wait_ns = 0 if remaining else self._admitted[0] + self._window_ns + 1 - now_ns
        return Verdict(admitted, remaining, wait_ns)
