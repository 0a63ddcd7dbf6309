"""supervisord's own configuration files: how Warren writes them, reads them and tries them out."""

from __future__ import annotations

import tempfile
from pathlib import Path

from warren.config import Settings
from warren.errors import CannotWrite
from warren.supervise.options import Options
from warren.supervise.programs.directories import make_directories, write_programs
from warren.supervise.programs.dry_run import DryRun
from warren.supervise.programs.render import MAIN, expansions, programs_directory, render
from warren.system.atomic_write import replace_file


def place(settings: Settings) -> Path:
    """Write the rendered programs into the run directory.

    Return the path of supervisord.conf: the operator's own file, or else the file that Warren
    ships. Raises CannotWrite.
    """
    write_programs(programs_directory(settings.app.run_dir), render(settings))
    return _configfile(settings)


def read(settings: Settings) -> Options:
    """Return the options of supervisord.conf, the rendered programs and supervisor.d together.

    Raises ConfigError or CannotWrite.
    """
    return Options(place(settings), expansions(settings), programs_directory(settings.app.run_dir))


def check_files(settings: Settings) -> None:
    """Check that supervisord can read its files at the next start. Raises ConfigError if not.

    The files are read with temporary directories in place of the suite's directories. A start makes
    the suite's directories when they are missing, but this trial must not touch them.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="warren-check-") as scratch:
            directories = {
                name: Path(scratch, name) for name in ("state_dir", "log_dir", "run_dir")
            }
            elsewhere = settings.model_copy(
                update={"app": settings.app.model_copy(update=directories)}
            )
            make_directories(elsewhere)
            at_start = {
                getattr(settings.app, name): directory for name, directory in directories.items()
            }
            missing = {
                directory: other for directory, other in at_start.items() if not directory.is_dir()
            }
            DryRun(
                place(elsewhere),
                expansions(elsewhere),
                programs_directory(elsewhere.app.run_dir),
                missing,
            )
    except OSError as error:
        raise CannotWrite(
            f"no room for a trial of the settings: {error.filename}: {error.strerror}"
        ) from error


def _configfile(settings: Settings) -> Path:
    own = settings.directory / "supervisord.conf"
    if own.exists():
        return own
    path = settings.app.run_dir / "supervisord.conf"
    try:
        replace_file(path, MAIN)
    except OSError as error:
        raise CannotWrite(
            f"cannot write supervisord's configuration {path}: {error.strerror}"
        ) from error
    return path
