"""Which tasks were revoked, in a file: a revoke outlives the worker that got it.

It does so however that worker ends. Celery keeps revoked ids in the memory of each worker, and
writes them to disk, if at all, only at the worker's clean end. Here each revoke becomes a line at
the end of a file before its sender gets the answer. A worker that starts loads what any worker of
its host has got.

When Celery's set in memory is full, Celery drops from it all that is older than three hours. Here
an id stays in memory for as long as in the file.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from celery.worker import state

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.atomic_write import replace_file
from warren.system.regular_file import (
    TooLarge,
    make_directory,
    move_away,
    open_or_make,
    read_regular,
)
from warren.worker.header_rules import LONGEST_ID, is_text

#: Seconds for which a revoke holds. An id that is used again and again is not revoked for ever.
HOLDS = 30 * 86_400.0
#: Bytes of a file that are read. When a file has more bytes, it is written again without what is
#: too old or too much.
LARGEST, _FULL = 1 << 26, 1 << 24
#: Values of a stamp that are kept for each header.
_STAMPS = 10_000
#: Workers of the host whose files are read.
_FILES = 100
#: Lines of another worker's file that may be something other than a revoke.
_FOREIGN = 100
#: Seconds between two attempts to write what could not be written.
_RETRY = 10.0
#: Seconds between two looks for revokes that have expired.
_LOOK = 600.0

#: A line of a file: when the task was revoked (seconds since the epoch), the kind (id or stamp),
#: and what was revoked: a task's id, or a stamp's header and value.
Line = tuple[float, str, str, str]


class Revokes:
    """The file of one worker.

    directory: shared by all workers of the host.
    """

    def __init__(self, directory: Path, program: str) -> None:
        self._path = directory / f"{program}.revoked"
        self._unwritten = False
        self._next_attempt = 0.0
        self._next_look = 0.0
        #: When each stamp in memory was revoked (monotonic seconds).
        self._stamped: dict[tuple[str, str], float] = {}

    def open(self) -> None:
        """Load earlier revokes. The worker starts whatever the files hold."""
        state.revoked.expires = HOLDS
        try:
            make_directory(self._path.parent)
        except OSError as error:
            self._cannot(error)
            return
        own = self._own()
        self._load([*own, *self._of_others()])
        self._rewrite(own)

    def look(self) -> None:
        """Load the revokes that other workers of this host have got since."""
        self._load([*self._own(), *self._of_others()])

    def _load(self, lines: list[Line]) -> None:
        """Load the revokes in the order in which they were sent."""
        known = set(state.revoked)
        wall, clock = time.time(), time.monotonic()
        lines = sorted(line for line in lines if line[0] > wall - HOLDS)
        for at, kind, name, _ in lines:
            if kind == "id" and name not in known:
                # The revoke is as old by the clock of Celery's set. If it was sent before the boot,
                # its time is below 0.
                state.revoked.add(name, now=clock - max(0.0, wall - at))
        stamps = {
            (header, value): clock - max(0.0, wall - at)
            for at, kind, header, value in lines
            if kind == "stamp"
        }
        known_stamps = {
            (header, value) for header, values in state.revoked_stamps.items() for value in values
        }
        for (header, value), sent in list(stamps.items())[-_STAMPS:]:
            if (header, value) not in known_stamps:
                state.revoked_stamps.setdefault(header, []).append(value)
            self._stamped[header, value] = max(sent, self._stamped.get((header, value), sent))

    def note(self, ids: Iterable[Any] = (), stamps: Mapping[Any, Any] | None = None) -> None:
        """Write down what was revoked just now.

        A value that is not the id of a task is left out.
        """
        now = time.time()
        lines: list[Line] = [(now, "id", each, "") for each in ids if is_text(each, LONGEST_ID)]
        for header, values in (stamps or {}).items():
            listed = values if isinstance(values, list | tuple | set) else [values]
            lines += [
                (now, "stamp", header, each) for each in listed if is_text(header) and is_text(each)
            ]
        self._stamped |= {
            (header, value): time.monotonic() for _, kind, header, value in lines if kind == "stamp"
        }
        text = _text(lines[-state.REVOKES_MAX :]).encode()
        if not text or self._unwritten:  # the whole file is written soon, with these lines
            return
        try:
            if self._append(text) > _FULL:
                self._rewrite(self._own())
        except OSError as error:
            self._cannot(error)

    def step(self) -> None:
        """Write what could not be written, and forget what is old. Called a few times a second."""
        if self._unwritten and time.monotonic() >= self._next_attempt:
            self._rewrite(self._own())
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK
            self._forget_old()

    def _forget_old(self) -> None:
        """Forget revokes that are older than HOLDS.

        Celery looks only when its set is full, and never at stamps.
        """
        state.revoked.purge()
        for (header, value), sent in list(self._stamped.items()):
            if sent > time.monotonic() - HOLDS:
                continue
            del self._stamped[header, value]
            left = [each for each in state.revoked_stamps.get(header, ()) if each != value]
            if left:
                state.revoked_stamps[header] = left
            else:
                state.revoked_stamps.pop(header, None)

    def _of_others(self) -> list[Line]:
        """Return what the other workers of the host have got.

        A task may have made these files. So all of them together are read up to the limit of one
        file.
        """
        lines: list[Line] = []
        size, most = LARGEST, _most()
        with suppress(OSError):
            for path in islice(self._path.parent.glob("*.revoked"), _FILES):
                if path != self._path:
                    found = self._read(path, size, most)
                    with suppress(OSError):
                        size -= path.lstat().st_size
                    most -= len(found)
                    lines += found
                if size <= 0 or most <= 0:
                    break
        return lines

    def _append(self, text: bytes) -> int:
        # The file is opened each time, because a task may have replaced it since.
        file = open_or_make(self._path)
        try:
            os.lseek(file, 0, os.SEEK_END)
            if os.write(file, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return os.fstat(file).st_size
        finally:
            os.close(file)

    def _rewrite(self, own: list[Line]) -> None:
        """Write the file again: the revokes that still hold, at most as many as Celery keeps."""
        now = time.time()
        sent = {
            (kind, name, value): at for at, kind, name, value in sorted(own) if at > now - HOLDS
        }
        if self._unwritten:  # revokes that are only in memory are recent
            sent = dict.fromkeys(_in_memory(), now) | sent
        ids = [(at, *what) for what, at in sent.items() if what[0] == "id"]
        stamps = [(at, *what) for what, at in sent.items() if what[0] == "stamp"]
        lines = [*sorted(ids)[-state.REVOKES_MAX :], *sorted(stamps)[-_STAMPS:]]
        try:
            replace_file(self._path, _text(lines), mode=0o600)
            self._unwritten = False
        except OSError as error:
            self._cannot(error)

    def _own(self) -> list[Line]:
        return self._read(self._path, LARGEST, _most())

    def _read(self, path: Path, size: int, most: int) -> list[Line]:
        """Return the last `most` lines of a file of at most `size` bytes that tell of a revoke."""
        try:
            content = read_regular(path, size)[0]
        except FileNotFoundError:
            return []
        except TooLarge as error:
            self._move_away(path, str(error.strerror))
            return []
        # A link, a fifo or a directory is moved away when the file is written (atomic_write.py).
        except OSError:
            return []
        lines, foreign = [], 0
        # The last line was cut off, or is empty. Lines before the last `most` lines are not even
        # split.
        for raw in reversed(content.rsplit(b"\n", most + 1)[-most - 1 : -1]):
            line = _parsed(raw) if raw else None
            if line is not None:
                lines.append(line)
                continue
            foreign += 1
            if foreign > _FOREIGN and path != self._path:
                break  # the file is not a worker's file, or its own worker repairs it
        lines.reverse()
        if foreign and path == self._path:
            self._move_away(
                path, f"{foreign} lines of the file are not revokes; the other lines hold"
            )
            with suppress(OSError):
                replace_file(path, _text(lines), mode=0o600)
        return lines

    def _move_away(self, path: Path, reason: str) -> None:
        """Move this worker's own file away; another worker repairs its own file."""
        if path == self._path:
            with suppress(OSError):
                move_away(path, reason)

    def _cannot(self, error: OSError) -> None:
        if not self._unwritten:
            consequence = "tasks that were revoked run after a restart"
            logger().error(
                Event.CANNOT_WRITE,
                path=str(self._path),
                reason=error.strerror,
                consequence=consequence,
            )
        self._unwritten, self._next_attempt = True, time.monotonic() + _RETRY


def _most() -> int:
    """Return how many lines a file may hold."""
    return int(state.REVOKES_MAX) + _STAMPS


def _in_memory() -> Iterable[tuple[str, str, str]]:
    """Return what this worker knows as revoked."""
    yield from (("id", name, "") for name in state.revoked if is_text(name, LONGEST_ID))
    for header, values in state.revoked_stamps.items():
        yield from (("stamp", header, each) for each in values if is_text(header) and is_text(each))


def _text(lines: Iterable[Line]) -> str:
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def _parsed(raw: bytes) -> Line | None:
    try:
        at, kind, name, value = json.loads(raw)
    except (ValueError, TypeError, RecursionError):
        return None
    numbers = (
        isinstance(at, int | float) and not isinstance(at, bool) and 0 <= at <= time.time() + HOLDS
    )
    known = (kind == "id" and value == "" and is_text(name, LONGEST_ID)) or (
        kind == "stamp" and is_text(name) and is_text(value)
    )
    return (float(at), kind, name, value) if numbers and known else None
