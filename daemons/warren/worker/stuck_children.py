"""Pool children that have a task, are idle, and never begin the task, or have ended it unheard.

A child reads its tasks from a pipe into which any task of its worker can write. After a few bytes
of garbage the child waits for the rest of a message that does not exist. After another process has
read its pipe, the child waits for a task that is gone. Its worker waits for a message of the child,
which another process may have read as well.
"""

from __future__ import annotations

from collections.abc import Mapping

#: So many looks in a row must find the child idle with its task, and so many seconds lie between
#: two looks. Looks count, not seconds: a worker that was blocked itself has not read what its
#: children have sent, and reads that between two looks.
LOOKS = 5
APART = 5.0


class StuckChildren:
    """How often in a row each child was found idle with the same task. Pure."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], int] = {}
        self._last = float("-inf")

    def look(self, idle: Mapping[int, int], now: float) -> list[int]:
        """Return the children to end.

        idle: the task of each child that waits now and has not begun its task. now: seconds. Call
        this every APART seconds: a call that comes much earlier does not count.
        """
        if now - self._last < APART * 0.8:
            return []
        self._last = now
        self._found = {each: self._found.get(each, 0) + 1 for each in idle.items()}
        return [child for (child, _), times in self._found.items() if times >= LOOKS]
