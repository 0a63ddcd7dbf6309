"""Copies that have not been sent yet, in the order in which they go to the broker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from warren.worker.refused_requeues import RefusedRequeues
from warren.worker.unconfirmed import PendingRequeue


class WaitingRequeues:
    """What waits of one worker's copies: in line, or because its address took none."""

    def __init__(self) -> None:
        self._line: deque[PendingRequeue] = deque()
        self._refused = RefusedRequeues()

    def add(self, *copies: PendingRequeue) -> None:
        """Put copies at the end of the line."""
        self._line.extend(copies)

    def add_due(self) -> None:
        """Put those at the end of the line whose address took none, and that may try again now."""
        self._line.extend(self._refused.due())

    def refuse(self, copy: PendingRequeue) -> bool:
        """Take in that its address took no copy. Return whether it is the first one there."""
        return self._refused.add(copy)

    def taken(self, copy: PendingRequeue) -> None:
        """Take in that its address took a copy: those that have waited for that come into line."""
        self._line.extend(self._refused.taken(copy))

    @property
    def first(self) -> PendingRequeue | None:
        """The copy that goes next; None when there is none.

        Copies for an address that took none just now wait for another copy for it, and hold up no
        others.
        """
        while self._line and self._refused.keeps(self._line[0]):
            self._line.popleft()
        return self._line[0] if self._line else None

    def pop(self) -> PendingRequeue:
        """Take the first copy out of the line."""
        return self._line.popleft()

    def sift(self, wanted: Callable[[PendingRequeue], bool]) -> list[PendingRequeue]:
        """Take these out of what waits."""
        found = [*self._refused.sift(wanted), *(each for each in self._line if wanted(each))]
        self._line = deque(each for each in self._line if not wanted(each))
        return found

    def clear(self) -> None:
        """Forget all of them: the connection that their messages came by is gone."""
        self._refused.clear()
        self._line.clear()
