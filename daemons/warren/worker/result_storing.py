"""How long pool children have been trying to store a result, for example on a full disk.

Each child logs one line about a row of attempts. The worker's heartbeat shows the time, and `warren
health` warns of it: a worker whose children all wait does no work.
"""

from __future__ import annotations

import mmap
import struct
import time

from billiard.process import current_process

from warren.broker.result_validation import CheckedKeys
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.redaction.masker import redact

_SINCE = struct.Struct("d")


class ResultStoring:
    """The time since when each pool child has tried, in memory that the worker shares with its
    children.

    Make this object before the children are forked.
    """

    def __init__(self, processes: int) -> None:
        self._since = mmap.mmap(-1, _SINCE.size * processes)
        self._logged = False

    def connect(self) -> None:
        """Listen to the storing of results that are kept under keys, on Redis or on this host.

        This also holds in the pool children that this process forks.
        """
        CheckedKeys.waiting = staticmethod(self.note)

    def note(self, error: BaseException | None) -> None:
        """Note the error that keeps this process from storing a result.

        error: None when the process has stored a result.
        """
        self._log(error)
        index = getattr(current_process(), "index", None)
        if index is None or (index + 1) * _SINCE.size > len(self._since):
            return  # the worker's own process does not wait
        start = index * _SINCE.size
        if error is None:
            self._since[start : start + _SINCE.size] = bytes(_SINCE.size)
        elif not any(self._since[start : start + _SINCE.size]):
            self._since[start : start + _SINCE.size] = _SINCE.pack(time.monotonic())

    def _log(self, error: BaseException | None) -> None:
        """Log the first of a row of attempts, and the end of the row.

        There is an attempt every ten seconds, for as long as the storing fails.
        """
        if (error is not None) == self._logged:
            return
        self._logged = error is not None
        if error is None:
            logger().info(Event.RESULTS_STORED)
        else:
            reason = redact(str(error)) or type(error).__name__
            logger().error(
                Event.RESULTS_NOT_STORED,
                reason=reason,
                consequence="the task waits, and its result is stored later",
            )

    def longest_s(self) -> int:
        """Return the seconds for which a child has tried, of the child that has tried longest; 0
        for none.

        A lost child leaves its entry to its successor, which clears the entry with its first
        result.
        """
        found = [since for (since,) in _SINCE.iter_unpack(self._since[:]) if since]
        return int(time.monotonic() - min(found)) if found else 0
