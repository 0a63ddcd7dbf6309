"""The first names of a queue of the embedded broker, in order: listed once for many takes."""

from __future__ import annotations

import heapq
import os
import secrets
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from warren.broker.embedded.filesystem import Glance, swap

#: The most names of one queue that a process remembers; the rest is listed again later.
_LISTED = 100_000
#: Seconds after which a process lists a queue again although it still has names: then it sees
#: messages that were requeued at the front.
_STALE = 1.0
#: An empty queue whose directory is larger (bytes) once held about ten thousand messages, and gets
#: a new directory.
_HUGE = 1 << 20


class Listing:
    """The names that one process knows of one queue of the broker whose directory is `broker`."""

    def __init__(self, broker: Path, queue: str) -> None:
        self.directory = f"{broker}/queues/{queue}"
        self._unacked = f"{broker}/unacked/{{}}/{queue}"
        self._names: deque[str] = deque()
        self._until = 0.0
        self._empty = False
        self._glance = Glance(self.directory)

    def pop(self) -> str | None:
        """Return the next name, or None; another process may have taken this message already."""
        if not self._names or time.monotonic() > self._until:
            self._read()
        try:
            return self._names.popleft()
        except IndexError:
            return None

    def push(self, name: str) -> None:
        """Add a name at the front.

        A name that belongs further back is found at the next reading.
        """
        names = self._names
        if name < next(iter(names), "~"):  # "~" sorts after every name
            names.appendleft(name)

    def _read(self) -> None:
        if self._glance.unchanged() and self._empty and not self._names:
            # It was empty and still is: no need to list a directory that may once have held a
            # million names.
            return
        begun = time.monotonic()
        names = names_in(self.directory)
        self._empty = not names
        self._names = deque(
            sorted(names) if len(names) <= _LISTED else heapq.nsmallest(_LISTED, names)
        )
        ended = time.monotonic()
        # At most a twentieth of the time goes into listing.
        self._until = ended + max(_STALE, 20 * (ended - begun))
        if self._empty:
            with suppress(FileNotFoundError):
                if os.stat(self.directory).st_size > _HUGE:
                    self.renew()

    def renew(self) -> None:
        """Put a new directory in the place of one that was huge.

        ext4 never makes a directory smaller, and reads all of it each time.
        """
        # The old directory goes where dead processes leave the messages that they had taken: what
        # was published in the last moment is requeued from there.
        old = self._unacked.format(f"renewed-{secrets.token_hex(8)}")
        with suppress(OSError):  # a file system that cannot swap: only slower
            os.makedirs(old, mode=0o750)
            swap(old, self.directory)


def names_in(directory: str) -> list[str]:
    """Return the names in the directory except hidden ones, in no order.

    There are none when the directory is missing.
    """
    try:
        return [name for name in os.listdir(directory) if not name.startswith(".")]
    except FileNotFoundError:
        return []
