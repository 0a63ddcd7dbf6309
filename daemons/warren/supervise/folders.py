"""The folders of the suite, and the rendered programs on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from warren.atomic_write import replace_file
from warren.closed_folder import make_closed, make_logs
from warren.config import Settings
from warren.errors import CannotWrite
from warren.regular_file import clear_place, read_regular, remove_any
from warren.supervise.render import programs_folder

_NOTE = "run_dir"


def make_folders(settings: Settings) -> None:
    """Makes state_dir and run_dir for this user alone, log_dir for its group as well, and the folder of the programs.

    Raises CannotWrite.
    """
    app = settings.app
    for option, folder in (
        ("state_dir", app.state_dir),
        ("log_dir", app.log_dir),
        ("run_dir", app.run_dir),
        ("run_dir", programs_folder(app.run_dir)),
    ):
        try:
            if folder == programs_folder(app.run_dir):
                clear_place(folder, stat.S_ISDIR)  # in the suite's own directory nothing of that name is somebody else's
            (make_logs if option == "log_dir" else make_closed)(folder)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(0, "no permission to write")
        except OSError as error:
            origin = settings.origin("app", option)
            raise CannotWrite(
                f"{origin}: [app] {option}: expected a folder to write to at {folder}, found: {error.strerror}; "
                "make it and give it to the user of the suite, or name another"
            ) from error


def note_run_dir(settings: Settings) -> None:
    """Leaves word in the state folder of where the suite runs, for a reload after an edit of run_dir: it would look elsewhere."""
    with suppress(OSError):  # then that reload finds no suite
        replace_file(settings.app.state_dir / _NOTE, f"{settings.app.run_dir}\n", mode=0o600)


def noted_run_dir(settings: Settings) -> Path:
    """Where the suite of this state folder was started last, whether or not it still runs; else where the settings say."""
    try:
        noted = read_regular(settings.app.state_dir / _NOTE)[0].decode().strip()
    except (OSError, ValueError):
        noted = ""
    return Path(noted) if noted.startswith("/") and "\0" not in noted else settings.app.run_dir


def open_up(folder: Path) -> None:
    """Gives the owner of a folder back the rights to it that a task took. Raises OSError."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and found.st_mode & 0o700 != 0o700:
        folder.chmod(stat.S_IMODE(found.st_mode) | 0o700)


def write_programs(folder: Path, texts: Mapping[str, str]) -> None:
    """Makes the folder hold exactly these files, each whole at any moment. Raises CannotWrite."""
    path = folder
    try:
        for name, text in texts.items():
            path = folder / name
            replace_file(path, text)
        for path in folder.glob("*.conf"):
            if path.name not in texts:
                remove_any(path)
    except OSError as error:
        raise CannotWrite(f"cannot write the rendered program {path}: {error.strerror}") from error
