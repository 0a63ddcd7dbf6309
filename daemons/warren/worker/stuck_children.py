"""Pool children that have a task, are idle, and never begin it, or ended it unheard.

A child reads its tasks from a pipe into which any task of its worker can write. After a few bytes
of garbage it waits for the rest of a message that does not exist; after another process has read
its pipe, for a task that is gone. Its worker waits for the child's message, which another process
may have read as well.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Looks that must all find the child idle with its task, and the seconds between two of them. They
#: are looks, not seconds: a worker that was itself held up meanwhile has not read what its children
#: have sent, and reads it between two looks.
LOOKS = 5
APART = 5.0


class StuckChildren:
    """How often each child was found idle with the task that it was given. Pure."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], int] = {}
        self._last = float("-inf")

    def look(self, idle: Mapping[int, int], now: float) -> list[int]:
        """Return the children to end.

        `idle` has the task of each child that waits now and has not begun; `now` is in seconds.
        Call it each APART seconds. A call that comes much earlier does not count.
        """
        if now - self._last < APART * 0.8:
            return []
        self._last = now
        self._found = {each: self._found.get(each, 0) + 1 for each in idle.items()}
        return [child for (child, _), times in self._found.items() if times >= LOOKS]
