"""Copies of messages that were sent to the broker and are not confirmed yet.

After a cut a task may be there twice, so only one copy of a task is on its way at a time. A dead
letter may be there twice without harm, because no worker runs it. So many dead letters are on their
way at once: one at a time, each would take the way to the broker and back, and the broker's write
to disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

#: The most repeatable copies that are on their way at a time.
WINDOW = 100
#: The most bytes of these copies together. Sockets hold so many bytes, so the main loop never waits
#: for a broker that stops reading.
WINDOW_BYTES = 2**17


@dataclass(frozen=True, eq=False)
class PendingRequeue:
    """A message on its way back to the broker.

    The object has the destination, what to do when the broker has the copy, and how to run the task
    in this worker instead (or None).
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
    #: Whether two copies of the message do no harm.
    repeatable: bool = False
    #: Called when the broker does not take the copy because its queue does not exist or takes no
    #: more messages. Without this function the copy is tried again.
    not_taken: Callable[[], None] | None = None

    @cached_property
    def size(self) -> int:
        """Return the approximate number of bytes."""
        try:
            return len(self.message.body or b"") + len(repr(self.message.headers))
        # The message is too deep, or cannot be shown: no other copy is sent at the same time.
        except Exception:  # noqa: BLE001
            return WINDOW_BYTES + 1

    @property
    def is_small(self) -> bool:
        """Return whether many copies like this may be on their way at once."""
        return self.repeatable and self.size <= WINDOW_BYTES


class Unconfirmed:
    """The copies that are on their way over one connection, and since when."""

    def __init__(self) -> None:
        self._since: dict[PendingRequeue, float] = {}
        self._bytes = 0
        #: How many repeatable copies may be on their way: one while the broker refuses them.
        self.most = WINDOW

    def has_room(self, copy: PendingRequeue) -> bool:
        """Return whether the copy may be sent beside the copies that are on their way."""
        if not copy.repeatable:
            return all(each.repeatable for each in self._since)
        if not self._since:
            return True
        return len(self._since) < self.most and self._bytes + copy.size <= WINDOW_BYTES

    def add(self, copy: PendingRequeue) -> None:
        """Note that the copy is sent."""
        self._since[copy] = time.monotonic()
        self._bytes += copy.size

    def settle(self, copy: PendingRequeue) -> bool:
        """Remove a copy that has its answer; return False when no answer is expected for it."""
        if self._since.pop(copy, None) is None:
            return False
        self._bytes -= copy.size
        return True

    def take_repeatable(self, wanted: Callable[[PendingRequeue], bool]) -> list[PendingRequeue]:
        """Remove and return these copies, if two copies of them do no harm and they can be kept
        elsewhere.

        The broker's answers to these copies are then ignored.
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
        """Remove and return all copies in the order in which they were sent, because the connection
        is gone.
        """
        found = list(self._since)
        self._since.clear()
        self._bytes = 0
        return found

    def all_for(self, seconds: float) -> bool:
        """Return whether each copy has been on its way for `seconds`; True without any copy."""
        return all(time.monotonic() - at >= seconds for at in self._since.values())

    def __len__(self) -> int:
        return len(self._since)
