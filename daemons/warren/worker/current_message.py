"""The message that the worker itself was handling when it died.

A message that kills its worker must not do so for ever. crash_counts.py counts the tasks that pool
children run. But before a message comes to a child, the worker's main loop handles it. When the
worker is killed then (out of memory, hung) or ends on an error, no process is left to count. So the
worker notes the message in a file before any code looks into it. The file outlives the process, and
the next worker counts the noted message. The file is written, not mapped: a task may truncate it,
and a store into a page that no longer exists would end the worker.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.atomic_write import replace_file
from warren.system.regular_file import make_directory, open_or_make, read_regular

#: Crashes after which a message is rejected. A message is the current one for some hundred
#: microseconds. An innocent message would have to be the current one at each of the crashes.
MOST_CRASHES = 3
#: Bytes of the note: the message's key, or zeros.
_KEY = 16
#: Bytes of a body that go into the message's key, together with the body's length and the message's
#: id.
_SEEN = 4096
#: Messages whose crashes are remembered; the oldest are forgotten.
_REMEMBERED = 1000


class CurrentMessage:
    """The message that one worker is handling.

    All workers of the host share one `directory`, and so count together.
    """

    def __init__(self, directory: Path, program: str) -> None:
        self._path, self._counts = (
            directory / f"{program}.current-message",
            directory / f"{program}.current-message-counts",
        )
        self._file, self._identity = -1, (-1, -1)
        self._current = bytes(_KEY)
        self._opened = False
        self._counted: dict[str, int] = {}
        self._owner = os.getpid()

    def open(self) -> None:
        """Count the message that the worker before this one was handling.

        A crash that cannot be written is not counted.
        """
        try:
            make_directory(self._path.parent)
            self._reopen()
            self._opened = True
            self._count(os.pread(self._file, _KEY, 0).hex() or "0")
        except OSError as error:
            consequence = "a message that ends its worker is not counted"
            logger().error(
                Event.CANNOT_WRITE,
                path=str(self._path),
                reason=error.strerror,
                consequence=consequence,
            )

    def _count(self, key: str) -> None:
        own = _read(self._counts)
        if int(key, 16):
            own[key] = own.pop(key, 0) + 1  # the newest entries come last
            replace_file(self._counts, json.dumps(dict(list(own.items())[-_REMEMBERED:])))
        self.clear()  # cleared only now: a death before this counts twice
        for path in self._counts.parent.glob("*.current-message-counts"):
            for known, count in _read(path).items():
                self._counted[known] = self._counted.get(known, 0) + count

    def note(self, body: Any, headers: Any) -> None:
        """Note a message that has arrived, before anything looks into it."""
        if os.getpid() == self._owner:  # A pool child that waits for a result shares the file.
            self._store(_key(body, headers))

    def clear(self) -> None:
        """Note that the worker handles no message.

        The message is with a pool child, waits for its time, or was answered.
        """
        self._store(bytes(_KEY))

    def _store(self, note: bytes) -> None:
        """Write the note.

        A missing or damaged file stops nothing: the file is made again, or this crash is not
        counted.
        """
        self._current = note
        if not self._opened:
            return
        with suppress(OSError):
            if not self._is_open():
                self._reopen()
            os.pwrite(self._file, note, 0)

    def _is_open(self) -> bool:
        """Return whether the descriptor still belongs to the file at the path.

        A module may have closed the descriptor, and a task may have removed the file.
        """
        try:
            status = os.fstat(self._file)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity and status.st_nlink > 0

    def _reopen(self) -> None:
        if self._is_open():
            os.close(self._file)
        self._file = open_or_make(self._path)
        status = os.fstat(self._file)
        self._identity = status.st_dev, status.st_ino

    def refusal(self) -> str:
        """Return why the worker must not look into the current message; empty when it may."""
        crashes = self._counted.get(self._current.hex(), 0) if self._counted else 0
        if crashes < MOST_CRASHES:
            return ""
        return (
            "expected a message that its worker outlives, found one at which the worker "
            f"died {crashes} times"
        )


def _key(body: Any, headers: Any) -> bytes:
    """Return the key by which a message is known when it comes again.

    It is made of the message's id and the beginning of its body.
    """
    task_id = headers.get("id") if isinstance(headers, dict) else None
    digest = hashlib.blake2b(digest_size=_KEY)
    if isinstance(task_id, str):
        digest.update(task_id[:_SEEN].encode("utf-8", "surrogatepass"))
    if isinstance(body, str):
        digest.update(body[:_SEEN].encode("utf-8", "surrogatepass"))
        digest.update(b"%d" % len(body))
    elif isinstance(body, bytes | bytearray | memoryview):
        digest.update(body[:_SEEN])
        digest.update(b"%d" % len(body))
    return digest.digest()


def _read(path: Path) -> dict[str, int]:
    try:
        return {str(key): int(count) for key, count in json.loads(read_regular(path)[0]).items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}  # There is no file yet, or it was damaged: then the count begins again.
