"""Copies that the broker did not take, by their destination.

The destination's queue does not exist, or takes no more messages. One copy of each destination at a
time tries again, after a pause that doubles up to LONGEST_PAUSE. Further copies wait for that copy:
each would ask the broker in vain. Their messages stay unacknowledged, so that no message is lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from warren.worker.message_copy import pause_before
from warren.worker.unconfirmed import PendingRequeue

_Destination = tuple[str, str]


@dataclass
class _Waiting:
    """The copies for one destination, the time of the next try, and the number of tries so far."""

    copies: deque[PendingRequeue] = field(default_factory=deque)
    until: float = 0.0
    times: int = 0
    #: The copy that may try next.
    first: PendingRequeue | None = None

    def pause(self) -> None:
        """Start the pause in which no copy of this destination may try."""
        self.until = time.monotonic() + pause_before(self.times)
        self.times += 1


class RefusedRequeues:
    """The waiting copies of one worker whose destinations took no copy."""

    def __init__(self) -> None:
        self._destinations: dict[_Destination, _Waiting] = {}

    def add(self, copy: PendingRequeue) -> bool:
        """Note that a copy was not taken.

        Returns whether it is the first such copy of its destination.
        """
        is_first = _destination(copy) not in self._destinations
        waiting = self._destinations.setdefault(_destination(copy), _Waiting())
        if is_first:
            waiting.pause()
        waiting.copies.append(copy)
        return is_first

    def keeps(self, copy: PendingRequeue) -> bool:
        """Keep the copy if it has to wait for another copy; return whether it was kept.

        A copy that has `not_taken` does not wait: that function handles it at once.
        """
        waiting = self._destinations.get(_destination(copy))
        if waiting is None or waiting.first is copy or copy.not_taken is not None:
            return False
        waiting.copies.append(copy)
        return True

    def due(self) -> list[PendingRequeue]:
        """Return the copies that may try now, one copy for each destination."""
        now = time.monotonic()
        found = []
        for waiting in self._destinations.values():
            if waiting.copies and waiting.until <= now:
                # The next pause begins here. If no answer to this copy comes, the next copy tries
                # after that pause.
                waiting.first = waiting.copies.popleft()
                waiting.pause()
                found.append(waiting.first)
        return found

    def taken(self, copy: PendingRequeue) -> list[PendingRequeue]:
        """Note that the destination took the copy. Return the copies that have waited for this."""
        waiting = self._destinations.pop(_destination(copy), None)
        return list(waiting.copies) if waiting else []

    def sift(self, wanted: Callable[[PendingRequeue], bool]) -> list[PendingRequeue]:
        """Remove and return the copies for which `wanted` is true."""
        found = []
        for waiting in self._destinations.values():
            found += [each for each in waiting.copies if wanted(each)]
            waiting.copies = deque(each for each in waiting.copies if not wanted(each))
        return found

    def clear(self) -> None:
        """Forget all copies, because the connection of their messages is lost."""
        self._destinations.clear()


def _destination(copy: PendingRequeue) -> _Destination:
    return copy.exchange, copy.routing_key
