"""Files that a task publishes for download, in a directory of the task's own.

@shared_task(name="shop.report")
def report(month):
    with publish_file("report.csv") as file:
        file.write(...)
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from celery import current_app

from warren.system.private_directory import make_closed
from warren.tasks.progress import running_task

#: The directory of published files, in the state directory.
DIRECTORY = "published"
_NAME = re.compile(r"[^/\x00-\x1f\x7f.][^/\x00-\x1f\x7f]*")
_LONGEST = 200  # bytes of a name
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", re.ASCII)
#: What the name of a file begins with until the file is complete.
_PARTIAL = "."


@dataclass(frozen=True)
class Published:
    """A published file: its name, its size in bytes, and when it was published (seconds, wall)."""

    name: str
    size: int
    at: float


@contextmanager
def publish_file(name: str, mode: str = "w", **how: Any) -> Iterator[IO[Any]]:
    """Open a file that clients of `warren web` may download once the block has ended.

    name: what a browser saves it as; a second file of this name replaces the first. mode: w or wb;
    `how` goes to `open`. A block that raises publishes nothing. The file is on the host of the
    worker. Raises ValueError for a wrong name or mode, RuntimeError outside a task, and OSError.
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"publish_file: expected mode w or wb, found {mode!r}")
    checked_name(name)
    task = running_task()
    if task is None:
        raise RuntimeError("publish_file: expected to be called in a task, found none running")
    directory = directory_of(Path(current_app.conf.warren_state_dir), task.request.id)
    make_closed(directory)
    partial = directory / f"{_PARTIAL}{os.getpid()}"
    try:
        with open(partial, mode, **({"encoding": "utf-8"} if mode == "w" else {}) | how) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # before the name appears: a reader sees the whole file
        os.replace(partial, directory / name)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def published(state_dir: Path, task_id: str) -> list[Published]:
    """Return the files that the task has published, by name."""
    if not _ID.fullmatch(task_id):
        return []
    found = []
    path = directory_of(state_dir, task_id)
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and not entry.name.startswith(_PARTIAL):
                found.append(Published(entry.name, status.st_size, status.st_mtime))
    return sorted(found, key=lambda each: each.name)


def remove_old(state_dir: Path, before: float, seconds: float) -> bool:
    """Remove what was published before this time (seconds, wall); return whether all is done.

    It takes about `seconds` at most: the next call continues. Raises OSError.
    """
    end = time.monotonic() + seconds
    with suppress(FileNotFoundError), os.scandir(state_dir / DIRECTORY) as tasks:
        for task in tasks:
            if task.is_dir(follow_symlinks=False):
                _remove_old_of(task, before)
            if time.monotonic() >= end:
                return False
    return True


def _remove_old_of(task: os.DirEntry[str], before: float) -> None:
    with suppress(FileNotFoundError), os.scandir(task.path) as entries:
        for entry in entries:
            if entry.stat(follow_symlinks=False).st_mtime < before:
                with suppress(FileNotFoundError, IsADirectoryError):
                    os.unlink(entry.path)
    # A directory that is not empty stays, and so does a new one, where a task begins to write.
    if task.stat(follow_symlinks=False).st_mtime < before:
        with suppress(OSError):
            os.rmdir(task.path)


def checked_name(name: str) -> str:
    """Return the name of a file if it is one. Raises ValueError."""
    if not _NAME.fullmatch(name) or len(os.fsencode(name)) > _LONGEST:
        raise ValueError(
            f"publish_file: expected a file name of at most {_LONGEST} bytes without '/', that "
            f"does not begin with '.', found {name!r}"
        )
    return name


def directory_of(state_dir: Path, task_id: str) -> Path:
    """Return the directory of the task's files. Raises ValueError for an id that names none."""
    if not _ID.fullmatch(task_id):
        raise ValueError(f"expected a task id of letters, digits and '_.-', found {task_id!r}")
    return state_dir / DIRECTORY / task_id
