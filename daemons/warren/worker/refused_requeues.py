"""Copies that the broker did not take, by where they go: their queue is not there, or takes no
more.

One of them at a time tries again, after a pause that doubles up to LONGEST_PAUSE. The others wait
for it: each alone would ask the broker in vain. Their messages stay unacknowledged, so that nothing
is lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from warren.worker.message_copy import pause_before
from warren.worker.unconfirmed import PendingRequeue

_Place = tuple[str, str]


@dataclass
class _Waiting:
    """The copies for one place, when the next one may try, and how often one has."""

    requeuer: deque[PendingRequeue] = field(default_factory=deque)
    until: float = 0.0
    times: int = 0
    #: The one that may try.
    first: PendingRequeue | None = None

    def rest(self) -> None:
        """Let none of them try for a while."""
        self.until = time.monotonic() + pause_before(self.times)
        self.times += 1


class RefusedRequeues:
    """What waits of one worker's copies because its place took none."""

    def __init__(self) -> None:
        self._places: dict[_Place, _Waiting] = {}

    def add(self, copy: PendingRequeue) -> bool:
        """Take in that a copy was not taken. Return whether it is the first one of its place."""
        is_first = _place(copy) not in self._places
        waiting = self._places.setdefault(_place(copy), _Waiting())
        if is_first:
            waiting.rest()
        waiting.requeuer.append(copy)
        return is_first

    def keeps(self, copy: PendingRequeue) -> bool:
        """Take the copy in if it has to wait for others; return whether it does.

        One that makes way by itself need not.
        """
        waiting = self._places.get(_place(copy))
        if waiting is None or waiting.first is copy or copy.not_taken is not None:
            return False
        waiting.requeuer.append(copy)
        return True

    def due(self) -> list[PendingRequeue]:
        """Return those that may try now, one of each place."""
        now = time.monotonic()
        found = []
        for waiting in self._places.values():
            if waiting.requeuer and waiting.until <= now:
                # The next pause begins here: should nobody hear of this one again, the next one
                # tries behind it.
                waiting.first = waiting.requeuer.popleft()
                waiting.rest()
                found.append(waiting.first)
        return found

    def taken(self, copy: PendingRequeue) -> list[PendingRequeue]:
        """Take in that the place took the copy. Return those that have waited for that."""
        waiting = self._places.pop(_place(copy), None)
        return list(waiting.requeuer) if waiting else []

    def sift(self, wanted: Callable[[PendingRequeue], bool]) -> list[PendingRequeue]:
        """Take these out."""
        found = []
        for waiting in self._places.values():
            found += [each for each in waiting.requeuer if wanted(each)]
            waiting.requeuer = deque(each for each in waiting.requeuer if not wanted(each))
        return found

    def clear(self) -> None:
        """Forget all of them: the connection that their messages came by is gone."""
        self._places.clear()


def _place(copy: PendingRequeue) -> _Place:
    return copy.exchange, copy.routing_key
