"""The leadership on the embedded broker, which has one host: a lock.

The file of the lock is beside the file of the last ticks.
"""

from __future__ import annotations

import fcntl
from typing import Any, TextIO

from warren.beat.last_ticks import KnownTicks, LastTicks
from warren.broker.batch_publish import SinglePublish
from warren.errors import Unavailable
from warren.system.regular_file import make_directory, open_or_make


class EmbeddedLeader:
    """The beat that holds the lock. The kernel releases the lock when its holder ends."""

    def __init__(self, memory: LastTicks) -> None:
        self.memory = memory
        self._lock: TextIO | None = None

    def lead(self) -> bool:
        # The lock is beside the ticks. Somebody may clean up the run directory under a running
        # beat.
        path = self.memory.path.with_suffix(".lock")
        try:
            if self._lock is None:
                make_directory(path.parent)
                # The file stays open for as long as this beat leads.
                self._lock = open(open_or_make(path), "r+", encoding="utf-8")  # noqa: SIM115
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            raise Unavailable(
                f"cannot lock {path}: {error.strerror}; check the file's owner and disk"
            ) from error

    def recall(self) -> KnownTicks:
        return self.memory.read()

    def keep(self, known: KnownTicks) -> None:
        try:
            self.memory.write(known)
        except OSError as error:
            text = (
                f"cannot write the last ticks to {self.memory.path}: {error.strerror}; free space"
            )
            raise Unavailable(text) from error

    def options(self) -> dict[str, Any]:
        return {}

    def batch(self) -> SinglePublish:
        return SinglePublish()

    def wait(self, batch: SinglePublish) -> None:
        """Return at once: the broker has answered for each tick when it was sent."""

    def resign(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
