"""The accepted settings in the run folder: what every daemon reads that supervisord starts or tells of a reload.

supervise is the file's one writer. It keeps what it has accepted in memory, and writes that again where a task has spoilt it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from warren.atomic_write import replace_file
from warren.config import Settings
from warren.errors import CannotWrite

#: The name in the run folder. It holds all that the INI and secret files say, so it is its user's alone.
NAME = "settings.json"


def write(settings: Settings) -> None:
    """Makes these the settings of every daemon that looks from now on, whole at any moment. Raises CannotWrite."""
    path = settings.app.run_dir / NAME
    try:
        replace_file(path, settings.accepted.to_text(), mode=0o600)
    except OSError as error:
        raise CannotWrite(f"cannot write the accepted settings {path}: {error.strerror}; free space, then try again") from error


class Keeper:
    """Sees that the file stays what was accepted."""

    def __init__(self) -> None:
        self._generation = -1
        self._mark: tuple[int, ...] | None = None

    def turn(self, settings: Settings) -> bool:
        """Writes the file where it is not the one of the last turn; says whether somebody else had touched it."""
        mark = _mark(settings.app.run_dir)
        if settings.generation == self._generation and mark is not None and mark == self._mark:
            return False
        spoilt = settings.generation == self._generation
        write(settings)
        self._generation, self._mark = settings.generation, _mark(settings.app.run_dir)
        return spoilt


def remove(run_dir: Path) -> None:
    """Takes the file away, with the secrets that it may hold: a start reads the INI files."""
    with suppress(OSError):
        (run_dir / NAME).unlink()


def _mark(run_dir: Path) -> tuple[int, ...] | None:
    try:
        found = (run_dir / NAME).lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns
