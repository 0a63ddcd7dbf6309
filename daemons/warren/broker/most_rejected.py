"""How many rejected messages are kept, and of how many bytes: on every broker the same, and no option.

RabbitMQ has the bound in the queue's arguments, and refuses a host that asks for another one. Over it the
oldest are dropped: a flood of foul messages must not fill the disk that all queues share, and the newest
are those that tell what is wrong now.
"""

from __future__ import annotations

import os
from pathlib import Path

from warren.events import Event
from warren.log import get

MOST, MOST_BYTES = 10_000, 2**30
#: A directory is counted once for so many messages, or bytes, that one process adds to it.
_EVERY, _EVERY_BYTES = 100, 2**26


class Bound:
    """That of one directory of files, and of its subdirectories: several processes may add to it."""

    def __init__(self, folder: Path | str) -> None:
        self._folder = folder
        self._added, self._bytes = _EVERY, 0  # counted at the first one

    def added(self, size: int) -> None:
        """Take in that a file of so many bytes was added; drop the oldest when there are too many."""
        self._added += 1
        self._bytes += size
        if self._added < _EVERY and self._bytes < _EVERY_BYTES:
            return
        self._added = self._bytes = 0
        if dropped := trim(self._folder):
            tell(dropped, str(self._folder))


def trim(folder: Path | str, most: int = MOST, most_bytes: int = MOST_BYTES) -> int:
    """Remove the oldest files until there are at most so many, of so many bytes; how many were removed."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            if not name.startswith("."):
                found.append((status.st_ctime_ns, status.st_blocks * 512, path))  # a file without content may have any size
    count, size, removed = len(found), sum(each[1] for each in found), 0
    for _, own, path in sorted(found):
        if count <= most and size <= most_bytes:
            break
        try:
            os.unlink(path)
        except OSError:
            continue  # another process was faster, or may do more
        count, size, removed = count - 1, size - own, removed + 1
    return removed


def tell(dropped: int, place: str) -> None:
    """Log that so many were dropped."""
    get().error(Event.REJECTED_DROPPED, messages=dropped, place=place, most=MOST, most_bytes=MOST_BYTES)
