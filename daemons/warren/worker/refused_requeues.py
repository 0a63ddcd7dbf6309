"""Copies that the broker did not take, by their destination.

Their queue does not exist, or takes no more. One copy of each destination at a time tries again,
after a pause that doubles up to LONGEST_PAUSE. The others wait for it: each alone would ask the
broker in vain. Their messages stay unacknowledged, so that nothing is lost.
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
    """The copies for one destination, when the next one may try, and how many tries there were."""

    copies: deque[PendingRequeue] = field(default_factory=deque)
    until: float = 0.0
    times: int = 0
    #: The copy that may try.
    first: PendingRequeue | None = None

    def pause(self) -> None:
        """Let none of the copies try for a while."""
        self.until = time.monotonic() + pause_before(self.times)
        self.times += 1


class RefusedRequeues:
    """The waiting copies of one worker, whose destination took none."""

    def __init__(self) -> None:
        self._destinations: dict[_Destination, _Waiting] = {}

    def add(self, copy: PendingRequeue) -> bool:
        """Note that a copy was not taken. Return whether it is the first of its destination."""
        is_first = _destination(copy) not in self._destinations
        waiting = self._destinations.setdefault(_destination(copy), _Waiting())
        if is_first:
            waiting.pause()
        waiting.copies.append(copy)
        return is_first

    def keeps(self, copy: PendingRequeue) -> bool:
        """Keep the copy if it has to wait for others; return whether it does.

        A copy that has `not_taken` need not wait: it makes way by itself.
        """
        waiting = self._destinations.get(_destination(copy))
        if waiting is None or waiting.first is copy or copy.not_taken is not None:
            return False
        waiting.copies.append(copy)
        return True

    def due(self) -> list[PendingRequeue]:
        """Return the copies that may try now, one of each destination."""
        now = time.monotonic()
        found = []
        for waiting in self._destinations.values():
            if waiting.copies and waiting.until <= now:
                # The next pause begins here: if nothing is heard of this copy again, the next one
                # tries after that pause.
                waiting.first = waiting.copies.popleft()
                waiting.pause()
                found.append(waiting.first)
        return found

    def taken(self, copy: PendingRequeue) -> list[PendingRequeue]:
        """Note that the destination took the copy. Return the copies that have waited for that."""
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
        """Forget all of them: the connection that their messages came by is gone."""
        self._destinations.clear()


def _destination(copy: PendingRequeue) -> _Destination:
    return copy.exchange, copy.routing_key
