"""The directories of the suite, and the rendered programs on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from warren.config import Settings
from warren.errors import CannotWrite
from warren.supervise.programs.render import programs_directory
from warren.system.atomic_write import replace_file
from warren.system.private_directory import make_closed, make_logs
from warren.system.regular_file import clear_path, read_regular, remove_any

_NOTE = "run_dir"


def make_directories(settings: Settings) -> None:
    """Make the suite's directories: state_dir, log_dir, run_dir, and the one of the programs.

    Only this user may use state_dir and run_dir; the group may also read log_dir. Raises
    CannotWrite.
    """
    app = settings.app
    for option, directory in (
        ("state_dir", app.state_dir),
        ("log_dir", app.log_dir),
        ("run_dir", app.run_dir),
        ("run_dir", programs_directory(app.run_dir)),
    ):
        try:
            if directory == programs_directory(app.run_dir):
                # In the suite's own directory, whatever has this name is the suite's.
                clear_path(directory, stat.S_ISDIR)
            (make_logs if option == "log_dir" else make_closed)(directory)
            if not os.access(directory, os.W_OK | os.X_OK):
                raise PermissionError(0, "no permission to write")
        except OSError as error:
            origin = settings.origin("app", option)
            raise CannotWrite(
                f"{origin}: [app] {option}: expected a directory to write to at {directory}, "
                f"found: {error.strerror}; "
                "make it and give it to the user of the suite, or name another"
            ) from error


def note_run_dir(settings: Settings) -> None:
    """Note in the state directory where the suite runs.

    After an edit of run_dir, a reload without this note would look for the suite in the wrong
    directory.
    """
    with suppress(OSError):  # then that reload finds no suite
        replace_file(settings.app.state_dir / _NOTE, f"{settings.app.run_dir}\n", mode=0o600)


def noted_run_dir(settings: Settings) -> Path:
    """Return the run directory of the last suite that started with this state directory.

    The suite may have stopped since. Without a note, return the run directory of the settings.
    """
    try:
        noted = read_regular(settings.app.state_dir / _NOTE)[0].decode().strip()
    except (OSError, ValueError):
        noted = ""
    return Path(noted) if noted.startswith("/") and "\0" not in noted else settings.app.run_dir


def open_up(directory: Path) -> None:
    """Restore the owner's rights to a directory, if a task has removed them. Raises OSError."""
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return
    if (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and found.st_mode & 0o700 != 0o700
    ):
        directory.chmod(stat.S_IMODE(found.st_mode) | 0o700)


def write_programs(directory: Path, texts: Mapping[str, str]) -> None:
    """Make the directory hold exactly these files; each is replaced atomically.

    Raises CannotWrite.
    """
    path = directory
    try:
        for name, text in texts.items():
            path = directory / name
            replace_file(path, text)
        for path in directory.glob("*.conf"):
            if path.name not in texts:
                remove_any(path)
    except OSError as error:
        raise CannotWrite(f"cannot write the rendered program {path}: {error.strerror}") from error
