"""Copies of messages that are with the broker and not confirmed yet: which, and how many may be.

A task may be there twice after a cut, so one copy of a task is on its way at a time. A dead letter,
which no worker runs, may be there twice without harm: many are on their way at once, for each alone
would take the way to the broker and back, and the broker's write to disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

#: How many repeatable copies are on their way at a time.
WINDOW = 100
#: How many bytes these may have: sockets hold them, so that the main loop waits for no broker that
#: stops reading.
WINDOW_BYTES = 2**17


@dataclass(frozen=True, eq=False)
class PendingRequeue:
    """A message on its way back to the broker.

    It has its destination, what to do when the broker has the copy, and how to run the task here
    instead (or None).
    """

    message: Any
    exchange: str
    routing_key: str
    headers: dict[str, Any]
    done: Callable[[], None]
    again: Callable[[], None] | None
    refused: Callable[[], Any] | None = None
    declare: Callable[[Any], None] | None = None
    waits: bool = False
    #: Two copies of it do no harm.
    repeatable: bool = False
    #: Called when the broker does not take the copy, as its queue does not exist or takes no more;
    #: without it the copy is tried again.
    not_taken: Callable[[], None] | None = None

    @cached_property
    def size(self) -> int:
        """The approximate number of its bytes."""
        try:
            return len(self.message.body or b"") + len(repr(self.message.headers))
        # It is too deep, or cannot be shown: no other copy goes beside it.
        except Exception:  # noqa: BLE001
            return WINDOW_BYTES + 1

    @property
    def is_small(self) -> bool:
        """Whether it is a copy of which many may be on their way at once."""
        return self.repeatable and self.size <= WINDOW_BYTES


class Unconfirmed:
    """The copies that are on their way over one connection, and since when."""

    def __init__(self) -> None:
        self._since: dict[PendingRequeue, float] = {}
        self._bytes = 0
        #: How many repeatable copies there may be: one while the broker refuses them.
        self.most = WINDOW

    def has_room(self, copy: PendingRequeue) -> bool:
        """Return whether the copy may go beside those that have gone."""
        if not copy.repeatable:
            return all(each.repeatable for each in self._since)
        if not self._since:
            return True
        return len(self._since) < self.most and self._bytes + copy.size <= WINDOW_BYTES

    def add(self, copy: PendingRequeue) -> None:
        """Note that the copy goes."""
        self._since[copy] = time.monotonic()
        self._bytes += copy.size

    def settle(self, copy: PendingRequeue) -> bool:
        """Remove a copy that has its answer; return False when it is not expected any more."""
        if self._since.pop(copy, None) is None:
            return False
        self._bytes -= copy.size
        return True

    def take_repeatable(self, wanted: Callable[[PendingRequeue], bool]) -> list[PendingRequeue]:
        """Remove and return these copies, if two of them do no harm and there is another way.

        The other way keeps them; their answers are ignored.
        """
        found = [
            each
            for each in self._since
            if each.repeatable and each.refused is not None and wanted(each)
        ]
        for each in found:
            del self._since[each]
            self._bytes -= each.size
        return found

    def clear(self) -> list[PendingRequeue]:
        """Remove and return all copies, in the order in which they went: the connection is gone."""
        found = list(self._since)
        self._since.clear()
        self._bytes = 0
        return found

    def all_for(self, seconds: float) -> bool:
        """Return whether each copy has been on its way for `seconds`; True when there is none."""
        return all(time.monotonic() - at >= seconds for at in self._since.values())

    def __len__(self) -> int:
        return len(self._since)
