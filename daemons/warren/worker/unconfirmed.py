"""Copies of messages that are with the broker and not confirmed yet: which ones, and how many there
may be.

A task may be there twice after a cut, so one copy of a task is on its way at a time. A dead letter,
which nobody runs, may be there twice without harm: many are on their way at once, for each alone
would take the way to the broker and back, and the broker's write to disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

#: So many repeatable copies are on their way at a time.
WINDOW = 100
#: And of so many bytes: sockets hold them, so that the main loop waits for no broker that stops
#: reading.
WINDOW_BYTES = 2**17


@dataclass(frozen=True, eq=False)
class PendingRequeue:
    """A message on its way back: where to, what to do when the broker has the copy, how to run it
    here instead (or None).
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
    #: Two of it do no harm.
    repeatable: bool = False
    #: Called when the broker does not take it, for its queue is not there or takes no more; else it
    #: is tried again.
    not_taken: Callable[[], None] | None = None

    @cached_property
    def size(self) -> int:
        """About how many bytes it has."""
        try:
            return len(self.message.body or b"") + len(repr(self.message.headers))
        except Exception:  # noqa: BLE001  too deep, or what cannot be shown: nothing goes beside it
            return WINDOW_BYTES + 1

    @property
    def is_small(self) -> bool:
        """Whether it is one of many that may be on their way at once."""
        return self.repeatable and self.size <= WINDOW_BYTES


class Unconfirmed:
    """The copies that are on their way over one connection, since when."""

    def __init__(self) -> None:
        self._since: dict[PendingRequeue, float] = {}
        self._bytes = 0
        #: How many repeatable ones there may be: one while the broker refuses them.
        self.most = WINDOW

    def has_room(self, copy: PendingRequeue) -> bool:
        """Return whether the copy may go beside those that have gone."""
        if not copy.repeatable:
            return all(each.repeatable for each in self._since)
        if not self._since:
            return True
        return len(self._since) < self.most and self._bytes + copy.size <= WINDOW_BYTES

    def add(self, copy: PendingRequeue) -> None:
        """Take in that the copy goes."""
        self._since[copy] = time.monotonic()
        self._bytes += copy.size

    def settle(self, copy: PendingRequeue) -> bool:
        """Take out what has its answer; False when nobody waits for that any more."""
        if self._since.pop(copy, None) is None:
            return False
        self._bytes -= copy.size
        return True

    def take_repeatable(self, wanted: Callable[[PendingRequeue], bool]) -> list[PendingRequeue]:
        """Take these out, if two of them do no harm and there is another way to keep them: their
        answers are nobody's.
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
        """Take out all of them, in the order in which they went: the connection is gone."""
        found = list(self._since)
        self._since.clear()
        self._bytes = 0
        return found

    def all_for(self, seconds: float) -> bool:
        """Return whether each of them has been on its way for so long; True when there is none."""
        return all(time.monotonic() - at >= seconds for at in self._since.values())

    def __len__(self) -> int:
        return len(self._since)
