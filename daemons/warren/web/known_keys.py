"""The idempotency keys of the last day, each with the task that was sent for it.

A client that has got no answer sends its request again with the same key, and gets the first task.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from warren.errors import CannotWrite
from warren.system.private_directory import make_closed

#: Seconds for which a key is kept, by the wall clock.
KEPT = 86400.0
_PURGE_EVERY = 1000  # new keys
_TABLE = """
CREATE TABLE IF NOT EXISTS keys (
    client TEXT, key TEXT, digest BLOB, task_id TEXT, sent INTEGER, at REAL,
    PRIMARY KEY (client, key)
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Known:
    """What is known of a key.

    digest: of the request that came with it first. sent: whether the broker has confirmed its task;
    if not, the broker may have it.
    """

    digest: bytes
    task_id: str
    sent: bool


class KnownKeys:
    """The keys in a file. Any thread may call. Each call raises sqlite3.Error for a full disk."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._now, self._lock, self._added = now, threading.Lock(), 0
        try:
            make_closed(path.parent)
            self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            # A key must be on the disk before its task is sent: else a task would be sent again
            # after a power cut.
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.execute(_TABLE)
            self._purge()
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise CannotWrite(
                f"cannot use {path}: {reason}; look at its owner and its disk, or remove the file: "
                "then the idempotency keys of the last day are forgotten"
            ) from error

    def begin(self, client: str, key: str, digest: bytes, task_id: str) -> Known | None:
        """Store a key whose task is about to be sent; return what is known of a key that exists."""
        with self._lock:
            if self._added >= _PURGE_EVERY:
                self._purge()
            # A key that is over holds no more, also when it was not removed yet.
            self._file.execute(
                "DELETE FROM keys WHERE client = ? AND key = ? AND at NOT BETWEEN ? AND ?",
                (client, key, *self._kept()),
            )
            added = self._file.execute(
                "INSERT OR IGNORE INTO keys VALUES (?, ?, ?, ?, 0, ?)",
                (client, key, digest, task_id, self._now()),
            ).rowcount
            self._added += added
            if added:
                return None
            row = self._file.execute(
                "SELECT digest, task_id, sent FROM keys WHERE client = ? AND key = ?", (client, key)
            ).fetchone()
        return Known(row[0], row[1], bool(row[2]))

    def sent(self, client: str, key: str) -> None:
        """Note that the broker has confirmed the task of the key."""
        with self._lock:
            self._file.execute(
                "UPDATE keys SET sent = 1 WHERE client = ? AND key = ?", (client, key)
            )

    def forget(self, client: str, key: str) -> None:
        """Remove a key whose task was certainly not sent."""
        with self._lock:
            self._file.execute("DELETE FROM keys WHERE client = ? AND key = ?", (client, key))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _purge(self) -> None:
        self._file.execute("DELETE FROM keys WHERE at NOT BETWEEN ? AND ?", self._kept())
        self._added = 0

    def _kept(self) -> tuple[float, float]:
        """Return the first and last time of keys that hold. A later one is of a wrong clock."""
        now = self._now()
        return now - KEPT, now + KEPT
