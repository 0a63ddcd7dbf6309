"""The file of the accepted settings in the run directory.

Every daemon that supervisord starts, or that it tells of a reload, reads this file. Only supervise
writes it. supervise keeps the accepted settings in memory, and writes the file again when a task
has damaged it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from warren.config import Settings
from warren.errors import CannotWrite
from warren.system.atomic_write import replace_file

#: The file's name in the run directory. The file holds all that the INI files and the secret files
#: say, so only its owner may read it.
NAME = "settings.json"


def write(settings: Settings) -> None:
    """Write the settings that every daemon reads from now on.

    The file is whole at any moment. Raises CannotWrite.
    """
    path = settings.app.run_dir / NAME
    try:
        replace_file(path, settings.accepted.to_text(), mode=0o600)
    except OSError as error:
        raise CannotWrite(
            f"cannot write the accepted settings {path}: {error.strerror}; free space, then try "
            "again"
        ) from error


class Keeper:
    """Keeps the file equal to the accepted settings."""

    def __init__(self) -> None:
        self._generation = -1
        self._mark: tuple[int, ...] | None = None

    def step(self, settings: Settings) -> bool:
        """Write the file unless it is unchanged since the last tick.

        Returns whether another process had changed the file. Raises CannotWrite.
        """
        mark = _mark(settings.app.run_dir)
        if settings.generation == self._generation and mark is not None and mark == self._mark:
            return False
        spoilt = settings.generation == self._generation
        write(settings)
        self._generation, self._mark = settings.generation, _mark(settings.app.run_dir)
        return spoilt


def remove(run_dir: Path) -> None:
    """Remove the file, because it may hold secrets.

    The next start reads the INI files.
    """
    with suppress(OSError):
        (run_dir / NAME).unlink()


def _mark(run_dir: Path) -> tuple[int, ...] | None:
    try:
        found = (run_dir / NAME).lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns
