"""The first names of a queue of the embedded broker, in order.

One listing of the directory serves many takes.
"""

from __future__ import annotations

import heapq
import os
import secrets
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from warren.broker.embedded.filesystem import Glance, swap

#: The most names of one queue that a process remembers. Further names are listed later.
_LISTED = 100_000
#: Seconds after which a process lists a queue again although it still has names. So it finds
#: messages that were requeued at the front.
_STALE = 1.0
#: Bytes. When the directory of an empty queue is larger, the queue once held about ten thousand
#: messages. It then gets a new directory.
_HUGE = 1 << 20


class Listing:
    """The names that one process knows of one queue.

    broker: the directory of the broker.
    """

    def __init__(self, broker: Path, queue: str) -> None:
        self.directory = f"{broker}/queues/{queue}"
        self._unacked = f"{broker}/unacked/{{}}/{queue}"
        self._names: deque[str] = deque()
        self._until = 0.0
        self._empty = False
        self._glance = Glance(self.directory)

    def pop(self) -> str | None:
        """Return the next name, or None.

        Another process may have taken the message of this name already.
        """
        if not self._names or time.monotonic() > self._until:
            self._read()
        try:
            return self._names.popleft()
        except IndexError:
            return None

    def push(self, name: str) -> None:
        """Add a name at the front.

        A name that belongs further back is not added: the next listing finds it.
        """
        names = self._names
        if name < next(iter(names), "~"):  # "~" sorts after every name
            names.appendleft(name)

    def _read(self) -> None:
        if self._glance.unchanged() and self._empty and not self._names:
            # The queue was empty and still is. Its directory may once have held a million names, so
            # it is not listed again.
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
        """Replace a huge directory by a new one.

        ext4 never makes a directory smaller, and each listing reads all of it.
        """
        # The old directory moves to where dead processes leave the messages that they had taken.
        # What was published into it in the last moment is requeued from there.
        old = self._unacked.format(f"renewed-{secrets.token_hex(8)}")
        with suppress(OSError):  # a file system that cannot swap only makes listing slower
            os.makedirs(old, mode=0o750)
            swap(old, self.directory)


def names_in(directory: str) -> list[str]:
    """Return the names in the directory except hidden names, in no order.

    Returns no names when the directory is missing.
    """
    try:
        return [name for name in os.listdir(directory) if not name.startswith(".")]
    except FileNotFoundError:
        return []
