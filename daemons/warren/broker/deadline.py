"""A moment until which somebody waits."""

from __future__ import annotations

import time


class Deadline:
    """A moment so many seconds from now, or never."""

    def __init__(self, length: float | None) -> None:
        self.length = length
        self._end = None if length is None else time.monotonic() + length

    @property
    def left(self) -> float | None:
        """Seconds until then, 0 when it has passed, None without end."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())
