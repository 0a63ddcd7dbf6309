"""What a taker knows of a queue of the embedded broker: its first names in their order, listed once for many takes."""

from __future__ import annotations

import heapq
import os
import secrets
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from warren.broker.disk import Glance, swap

#: Names of one queue that a taker remembers; more than that is listed again later.
_LISTED = 100_000
#: Seconds after which a taker lists a queue again although it still knows names: what came back to its front is seen then.
_STALE = 1.0
#: An empty queue whose folder is larger (bytes) once held some ten thousand messages, and gets a fresh folder.
_HUGE = 1 << 20


class Listing:
    """That of one process for one queue of the broker whose folder is `broker`."""

    def __init__(self, broker: Path, queue: str) -> None:
        self.folder = f"{broker}/queues/{queue}"
        self._aside = f"{broker}/unacked/{{}}/{queue}"
        self._names: deque[str] = deque()
        self._until = 0.0
        self._empty = False
        self._glance = Glance(self.folder)

    def pop(self) -> str | None:
        """The next name, which another process may have taken already."""
        if not self._names or time.monotonic() > self._until:
            self._read()
        try:
            return self._names.popleft()
        except IndexError:
            return None

    def push(self, name: str) -> None:
        """A name at the front; one that belongs further back is found at the next reading."""
        names = self._names
        if name < next(iter(names), "~"):  # "~" sorts behind every name
            names.appendleft(name)

    def _read(self) -> None:
        if self._glance.unchanged() and self._empty and not self._names:
            return  # it was empty and still is: no need to list a folder that may once have held a million names
        begun = time.monotonic()
        names = names_in(self.folder)
        self._empty = not names
        self._names = deque(sorted(names) if len(names) <= _LISTED else heapq.nsmallest(_LISTED, names))
        ended = time.monotonic()
        self._until = ended + max(_STALE, 20 * (ended - begun))  # at most a twentieth of the time goes into listing
        if self._empty:
            with suppress(FileNotFoundError):
                if os.stat(self.folder).st_size > _HUGE:
                    self.renew()

    def renew(self) -> None:
        """Puts a fresh folder in the place of one that was huge: ext4 never makes one smaller, and reads all of it each time."""
        # The old one stands where the dead leave what they had taken: what was published in the last moment goes back from there.
        old = self._aside.format(f"renewed-{secrets.token_hex(8)}")
        with suppress(OSError):  # a file system that cannot swap: slower, nothing else
            os.makedirs(old, mode=0o750)
            swap(old, self.folder)


def names_in(folder: str) -> list[str]:
    """What stands in the folder but for hidden names, in no order; nothing when there is no such folder."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except FileNotFoundError:
        return []
