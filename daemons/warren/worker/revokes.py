"""Which tasks were revoked, in a file: a revoke outlives the worker that heard it, however that
ends.

Celery keeps revoked ids in the memory of each worker, and writes them down, if at all, at its
orderly end. Here each revoke is a line at the end of a file before its sender has the answer. A
worker that starts takes up what any worker of its host has heard.

Once the set in memory is full, Celery drops all that is older than three hours from it. Here an id
holds for as long in memory as in the file.
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

#: Seconds for which a revoke holds. An id that somebody uses again and again is not revoked for
#: ever.
HOLDS = 30 * 86_400.0
#: Bytes of a file that is read, and from which on it is written again without what is too old or
#: too much.
LARGEST, _FULL = 1 << 26, 1 << 24
#: Values of a stamp that are kept, for each header.
_STAMPS = 10_000
#: Workers of the host whose files are read.
_FILES = 100
#: Lines of another worker's file that may tell of something else.
_FOREIGN = 100
#: Seconds between two attempts to write what could not be written.
_RETRY = 10.0
#: Seconds between two looks for what holds no longer.
_LOOK = 600.0

#: When it was said (seconds, wall clock), what kind of thing, and what: a task's id, or a stamp's
#: header and value.
Line = tuple[float, str, str, str]


class Revokes:
    """The file of one worker. `directory` is one for all workers of the host."""

    def __init__(self, directory: Path, program: str) -> None:
        self._path = directory / f"{program}.revoked"
        self._unwritten = False
        self._next_attempt = 0.0
        self._next_look = 0.0
        #: When each stamp in memory was said (seconds, monotonic clock).
        self._stamped: dict[tuple[str, str], float] = {}

    def open(self) -> None:
        """Take up what was revoked before. Whatever the files hold, the worker starts."""
        state.revoked.expires = HOLDS
        try:
            make_directory(self._path.parent)
        except OSError as error:
            self._cannot(error)
            return
        own = self._own()
        self._take_up([*own, *self._of_others()])
        self._rewrite(own)

    def look(self) -> None:
        """Take up what workers of this host have heard."""
        self._take_up([*self._own(), *self._of_others()])

    def _take_up(self, lines: list[Line]) -> None:
        """Take it up in the order in which it was said."""
        known = set(state.revoked)
        wall, clock = time.time(), time.monotonic()
        lines = sorted(line for line in lines if line[0] > wall - HOLDS)
        for at, kind, name, _ in lines:
            if kind == "id" and name not in known:
                # By the clock of the set, as old as it is. From before the boot, that is below 0.
                state.revoked.add(name, now=clock - max(0.0, wall - at))
        stamps = {
            (header, value): clock - max(0.0, wall - at)
            for at, kind, header, value in lines
            if kind == "stamp"
        }
        held = {
            (header, value) for header, values in state.revoked_stamps.items() for value in values
        }
        for (header, value), said in list(stamps.items())[-_STAMPS:]:
            if (header, value) not in held:
                state.revoked_stamps.setdefault(header, []).append(value)
            self._stamped[header, value] = max(said, self._stamped.get((header, value), said))

    def note(self, ids: Iterable[Any] = (), stamps: Mapping[Any, Any] | None = None) -> None:
        """Write down what was revoked just now. What is no id of a task is none that comes."""
        now = time.time()
        lines: list[Line] = [(now, "id", each, "") for each in ids if is_text(each, LONGEST_ID)]
        for header, values in (stamps or {}).items():
            given = values if isinstance(values, list | tuple | set) else [values]
            lines += [
                (now, "stamp", header, each) for each in given if is_text(header) and is_text(each)
            ]
        self._stamped |= {
            (header, value): time.monotonic() for _, kind, header, value in lines if kind == "stamp"
        }
        text = _text(lines[-state.REVOKES_MAX :]).encode()
        if not text or self._unwritten:  # the whole is written soon, with these
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
        """Forget what was said longer ago than it holds: Celery looks only when its set is full,
        and never at stamps.
        """
        state.revoked.purge()
        for (header, value), said in list(self._stamped.items()):
            if said > time.monotonic() - HOLDS:
                continue
            del self._stamped[header, value]
            left = [each for each in state.revoked_stamps.get(header, ()) if each != value]
            if left:
                state.revoked_stamps[header] = left
            else:
                state.revoked_stamps.pop(header, None)

    def _of_others(self) -> list[Line]:
        """What the other workers of the host have heard.

        A task may have made the files: together they cost no more than one.
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
        # Opened each time: a task may have put anything in its place since.
        file = open_or_make(self._path)
        try:
            os.lseek(file, 0, os.SEEK_END)
            if os.write(file, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return os.fstat(file).st_size
        finally:
            os.close(file)

    def _rewrite(self, own: list[Line]) -> None:
        """Write the file again: what holds still of what it had, at most as much as
        Celery keeps.
        """
        now = time.time()
        said = {
            (kind, name, value): at for at, kind, name, value in sorted(own) if at > now - HOLDS
        }
        if self._unwritten:  # what is only in memory was said lately
            said = dict.fromkeys(_in_memory(), now) | said
        ids = [(at, *what) for what, at in said.items() if what[0] == "id"]
        stamps = [(at, *what) for what, at in said.items() if what[0] == "stamp"]
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
        # a link, a fifo, a directory: makes way when the file is written (atomic_write.py)
        try:
            content = read_regular(path, size)[0]
        except FileNotFoundError:
            return []
        except TooLarge as error:
            self._moved_away(path, str(error.strerror))
            return []
        except OSError:
            return []
        lines, foreign = [], 0
        # The last one was cut off, or is empty. What stands before the last ones is not even taken
        # apart.
        for raw in reversed(content.rsplit(b"\n", most + 1)[-most - 1 : -1]):
            line = _parsed(raw) if raw else None
            if line is not None:
                lines.append(line)
                continue
            foreign += 1
            if foreign > _FOREIGN and path != self._path:
                break  # it is not a worker's, or its worker puts it right
        lines.reverse()
        if foreign and path == self._path:
            self._moved_away(path, f"{foreign} of its lines tell of no revoke; the others hold")
            with suppress(OSError):
                replace_file(path, _text(lines), mode=0o600)
        return lines

    def _moved_away(self, path: Path, reason: str) -> None:
        """Make way in this worker's own place; another worker's is its own to see to."""
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
    """Return how many lines of a file can hold."""
    return int(state.REVOKES_MAX) + _STAMPS


def _in_memory() -> Iterable[tuple[str, str, str]]:
    """Return what this worker knows to be revoked."""
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
