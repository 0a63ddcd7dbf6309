"""How long pool children have been trying to store a result: they wait for room, and say so to nobody else.

The worker's heart tells it, and `warren health` warns: a worker all of whose children wait does nothing.
"""

from __future__ import annotations

import mmap
import struct
import time

from billiard.process import current_process

from warren.broker.checked_results import CheckedKeys

_SINCE = struct.Struct("d")


class Storing:
    """Since when each pool child has tried, in memory that the worker shares with them. Make it before they fork."""

    def __init__(self, processes: int) -> None:
        self._since = mmap.mmap(-1, _SINCE.size * processes)

    def connect(self) -> None:
        """Listen to the results that are kept under keys, on Redis or this host, in the pool children that this process forks."""
        CheckedKeys.waiting = staticmethod(self.note)

    def note(self, waits: bool) -> None:
        """Note whether the calling pool child waits to store a result."""
        place = getattr(current_process(), "index", None)
        if place is None or (place + 1) * _SINCE.size > len(self._since):
            return  # the worker's own process, which does not wait
        start = place * _SINCE.size
        if not waits:
            self._since[start : start + _SINCE.size] = bytes(_SINCE.size)
        elif not any(self._since[start : start + _SINCE.size]):
            self._since[start : start + _SINCE.size] = _SINCE.pack(time.monotonic())

    def longest_s(self) -> int:
        """Return for how many seconds one has tried, at most; 0 when none waits.

        A child that was lost leaves its word to its successor, which takes it back with its first result.
        """
        found = [since for (since,) in _SINCE.iter_unpack(self._since[:]) if since]
        return int(time.monotonic() - min(found)) if found else 0
