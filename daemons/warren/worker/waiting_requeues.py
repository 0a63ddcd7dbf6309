"""Copies that have not been sent yet, in the order in which they go to the broker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from warren.worker.refused_requeues import RefusedRequeues
from warren.worker.unconfirmed import PendingRequeue


class WaitingRequeues:
    """The waiting copies of one worker.

    A copy waits in line, or because its destination has not taken another copy.
    """

    def __init__(self) -> None:
        self._line: deque[PendingRequeue] = deque()
        self._refused = RefusedRequeues()

    def add(self, *copies: PendingRequeue) -> None:
        """Put copies at the end of the line."""
        self._line.extend(copies)

    def add_due(self) -> None:
        """Put copies in line that their destination has refused and that may try again now."""
        self._line.extend(self._refused.due())

    def refuse(self, copy: PendingRequeue) -> bool:
        """Note that the destination took no copy. Return whether this is its first such copy."""
        return self._refused.add(copy)

    def taken(self, copy: PendingRequeue) -> None:
        """Note that the destination took a copy.

        Copies that have waited for this are put in line.
        """
        self._line.extend(self._refused.taken(copy))

    @property
    def first(self) -> PendingRequeue | None:
        """Return the copy that is sent next; None when there is none.

        A copy for a destination that has just refused a copy waits, and does not delay copies for
        other destinations.
        """
        while self._line and self._refused.keeps(self._line[0]):
            self._line.popleft()
        return self._line[0] if self._line else None

    def pop(self) -> PendingRequeue:
        """Remove the first copy from the line, and return it."""
        return self._line.popleft()

    def sift(self, wanted: Callable[[PendingRequeue], bool]) -> list[PendingRequeue]:
        """Remove these copies from the waiting copies, and return them."""
        found = [*self._refused.sift(wanted), *(each for each in self._line if wanted(each))]
        self._line = deque(each for each in self._line if not wanted(each))
        return found

    def clear(self) -> None:
        """Forget all copies, because the connection of their messages is lost."""
        self._refused.clear()
        self._line.clear()
