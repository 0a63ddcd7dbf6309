"""The time until which a caller waits."""

from __future__ import annotations

import time


class Deadline:
    """The time `length` seconds from now; None: no end."""

    def __init__(self, length: float | None) -> None:
        self.length = length
        self._end = None if length is None else time.monotonic() + length

    @property
    def left(self) -> float | None:
        """Return the seconds until the time: 0 when it has passed, None without an end."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())
