"""supervisord's own files: the one that it begins with, and a reading of all of them that leaves nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

from warren.atomic_write import replace_file
from warren.config import Settings
from warren.errors import CannotWrite
from warren.supervise.folders import make_folders, write_programs
from warren.supervise.options import Options
from warren.supervise.render import MAIN, expansions, programs_folder, render
from warren.supervise.trial import Trial


def place(settings: Settings) -> Path:
    """Writes the rendered programs into the run folder; returns supervisord.conf, the operator's or else what Warren ships.

    Raises CannotWrite.
    """
    write_programs(programs_folder(settings.app.run_dir), render(settings))
    return _configfile(settings)


def read(settings: Settings) -> Options:
    """What supervisord.conf, the rendered programs and supervisor.d say together. Raises ConfigError or CannotWrite."""
    return Options(place(settings), expansions(settings), programs_folder(settings.app.run_dir))


def check_files(settings: Settings) -> None:
    """Whether supervisord could read its files at the next start. Raises ConfigError.

    They are read with folders of their own in place of the suite's, which a start makes where they are not there, and which must
    not be touched.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="warren-check-") as scratch:
            folders = {name: Path(scratch, name) for name in ("state_dir", "log_dir", "run_dir")}
            elsewhere = settings.model_copy(update={"app": settings.app.model_copy(update=folders)})
            make_folders(elsewhere)
            at_start = {getattr(settings.app, name): folder for name, folder in folders.items()}
            missing = {folder: other for folder, other in at_start.items() if not folder.is_dir()}
            Trial(place(elsewhere), expansions(elsewhere), programs_folder(elsewhere.app.run_dir), missing)
    except OSError as error:
        raise CannotWrite(f"no room for a trial of the settings: {error.filename}: {error.strerror}") from error


def _configfile(settings: Settings) -> Path:
    own = settings.folder / "supervisord.conf"
    if own.exists():
        return own
    path = settings.app.run_dir / "supervisord.conf"
    try:
        replace_file(path, MAIN)
    except OSError as error:
        raise CannotWrite(f"cannot write supervisord's configuration {path}: {error.strerror}") from error
    return path
