"""The directories of a host's suite. They are found without reading all of its settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from warren.config import reader
from warren.config.reader import DEFAULT_DIRECTORY
from warren.errors import ConfigError

#: The directories of the suite's own files, unless [app] names others.
DEFAULT_STATE_DIR, DEFAULT_LOG_DIR, DEFAULT_RUN_DIR = (
    Path("/var/lib/warren"),
    Path("/var/log/warren"),
    Path("/run/warren"),
)


@dataclass(frozen=True)
class Directories:
    """The directories of a host's suite, as [app] names them."""

    state: Path
    log: Path
    run: Path


def directories_of(directory: Path, host: str | None = None) -> Directories:
    """Return the directories that the INI files name. Errors in all other lines are ignored.

    When a file is wrong, the defaults apply; `load` reports the error. Raises ConfigError when the
    caller named a directory and none of its files can be read: the defaults would then mean the
    suite of this machine's own settings, which is another suite.
    """
    ini = reader.read(directory, host or short_host())
    if directory != DEFAULT_DIRECTORY and not ini.files:
        raise ConfigError(ini.problems)
    app = ini.sections.get("app", {})

    def path(option: str, default: Path) -> Path:
        return (
            Path(app[option].text)
            if option in app and app[option].text.startswith("/")
            else default
        )

    return Directories(
        path("state_dir", DEFAULT_STATE_DIR),
        path("log_dir", DEFAULT_LOG_DIR),
        path("run_dir", DEFAULT_RUN_DIR),
    )


def short_host() -> str:
    """Return this host's name without its domain."""
    return os.uname().nodename.partition(".")[0]
