"""The bound of the rejected messages: how many messages, and how many bytes, are kept.

The bound is the same on every broker, and is not an option: on RabbitMQ it is in the queue's
arguments, and RabbitMQ refuses a host that asks for another bound. Above the bound the oldest
messages are dropped. A flood of invalid messages must not fill the disk that all queues share, and
the newest messages show what is wrong now.
"""

from __future__ import annotations

import os
from pathlib import Path

from warren.logs.events import Event
from warren.logs.setup import logger

MOST, MOST_BYTES = 10_000, 2**30
#: A directory is counted again after one process has added so many messages, or so many bytes.
_EVERY, _EVERY_BYTES = 100, 2**26


class Bound:
    """The bound of one directory and its subdirectories.

    Several processes may add files at the same time.
    """

    def __init__(self, directory: Path | str) -> None:
        self._directory = directory
        self._added, self._bytes = _EVERY, 0  # counted when the first file is added

    def added(self, size: int) -> None:
        """Count a file of `size` bytes that was added; drop the oldest files when there are too
        many.
        """
        self._added += 1
        self._bytes += size
        if self._added < _EVERY and self._bytes < _EVERY_BYTES:
            return
        self._added = self._bytes = 0
        if dropped := trim(self._directory):
            tell(dropped, str(self._directory))


def trim(directory: Path | str, most: int = MOST, most_bytes: int = MOST_BYTES) -> int:
    """Remove the oldest files until at most `most` files with at most `most_bytes` bytes are left.

    Returns the number of removed files.
    """
    found = []
    for place, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(place, name)
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            if not name.startswith("."):
                # Measured in blocks: a file without content may have any size.
                found.append((status.st_ctime_ns, status.st_blocks * 512, path))
    count, size, removed = len(found), sum(each[1] for each in found), 0
    for _, own, path in sorted(found):
        if count <= most and size <= most_bytes:
            break
        try:
            os.unlink(path)
        except OSError:
            continue  # another process was faster, or has more rights
        count, size, removed = count - 1, size - own, removed + 1
    return removed


def tell(dropped: int, place: str) -> None:
    """Log that `dropped` messages were dropped."""
    logger().error(
        Event.REJECTED_DROPPED, messages=dropped, place=place, most=MOST, most_bytes=MOST_BYTES
    )
