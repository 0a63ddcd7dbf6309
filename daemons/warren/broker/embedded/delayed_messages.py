"""Messages of the embedded broker that are due later.

    later/QUEUE/UNTIL.NAME   not before UNTIL (ns since the epoch), then queues/QUEUE/NAME

Each step is one rename, as in messages.py.
"""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from pathlib import Path

from warren.broker.embedded.file_names import directory_name, message_name, owner, returned_name
from warren.broker.embedded.filesystem import Glance, write_whole
from warren.broker.embedded.queue_listing import names_in
from warren.system.atomic_write import sync_directory
from warren.system.regular_file import make_directory

#: Seconds between two looks at the due messages. A message comes late by at most this time.
LOOK = 0.5
#: The most names of a queue that are remembered. One look moves at most as many messages.
_BATCH = 1000


class Later:
    """The messages of the broker in `directory` that are due later.

    Any number of processes may use them at once.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[str, _Soonest] = {}

    def put(self, queue: str, content: bytes, until: float, durable: bool) -> bool:
        """Add a new message that comes at `until` (seconds since the epoch).

        A `durable` message is on disk when this returns. Returns False when there is no such queue.
        Raises OSError.
        """
        safe = directory_name(queue)
        if not os.path.isdir(f"{self._directory}/queues/{safe}"):
            return False
        directory, name = self._directory_and_name(safe, until, message_name())
        temp = f"{self._directory}/incoming/{owner()}.{name}"
        write_whole(f"{directory}/{name}", temp, content, durable)
        if durable:
            sync_directory(directory)
        return True

    def postpone(self, tag: str, until: float) -> None:
        """Let a taken message come again at `until` (seconds since the epoch).

        Raises OSError, and then the message stays taken.
        """
        _, safe, name = tag.split("/")
        directory, later = self._directory_and_name(safe, until, returned_name(name))
        os.rename(f"{self._directory}/unacked/{tag}", f"{directory}/{later}")

    def bring(self, queue: str) -> int:
        """Move due messages to their queue, at most one batch; return the number of moved messages.

        Raises OSError.
        """
        safe = directory_name(queue)
        directory = f"{self._directory}/later/{safe}"
        known = self._known.setdefault(safe, _Soonest(directory))
        moved, now = 0, f"{time.time_ns():020d}"
        failure: OSError | None = None
        for name in known.until(now):
            try:
                os.rename(f"{directory}/{name}", f"{self._directory}/queues/{safe}/{name[21:]}")
                moved += 1
            except FileNotFoundError:
                # The queue no longer exists, but may be declared again.
                if os.path.lexists(f"{directory}/{name}"):
                    known.forget()
                # otherwise another process has moved the message
            except OSError as error:  # one message failed, and the messages behind it are due, too
                known.forget()
                failure = error
        if failure is not None:
            raise failure
        return moved

    def _directory_and_name(self, safe: str, until: float, name: str) -> tuple[str, str]:
        directory = f"{self._directory}/later/{safe}"
        make_directory(directory, to=f"{self._directory}/later-{safe}")
        return directory, f"{max(0, int(until * 1e9)):020d}.{name}"


class _Soonest:
    """The names in a directory whose messages are due first."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._glance = Glance(directory)
        self._names: deque[str] = deque()
        self._next = 0.0

    def forget(self) -> None:
        """Forget the known names: names that were returned but not moved are found again."""
        self._glance = Glance(self._directory)

    def until(self, now: str) -> list[str]:
        """Return the names that are due at `now` (ns since the epoch, 20 digits)."""
        if time.monotonic() >= self._next and not self._glance.unchanged():
            begun = time.monotonic()
            self._names = deque(heapq.nsmallest(_BATCH, filter(is_later, self._listed())))
            ended = time.monotonic()
            # At most a twentieth of the time goes into listing.
            self._next = ended + 20 * (ended - begun)
        due = []
        while self._names and self._names[0][:20] <= now:
            due.append(self._names.popleft())
        return due

    def _listed(self) -> list[str]:
        try:
            return names_in(self._directory)
        except NotADirectoryError:  # a foreign file; it is moved away before the next message
            return []


def is_later(name: str) -> bool:
    """Return whether `name` belongs to a message that is due later."""
    return name[:20].isdecimal() and name[20:21] == "." and name[21:22] not in ("", ".")
