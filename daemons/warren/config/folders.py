"""Where a host's files are, known without reading all of its settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from warren.config import reader
from warren.config.reader import DEFAULT_FOLDER
from warren.errors import ConfigError

#: Where the suite's own files are unless [app] says otherwise.
DEFAULT_STATE_DIR, DEFAULT_LOG_DIR, DEFAULT_RUN_DIR = Path("/var/lib/warren"), Path("/var/log/warren"), Path("/run/warren")


@dataclass(frozen=True)
class Folders:
    """The folders of a host's suite, as [app] names them."""

    state: Path
    log: Path
    run: Path


def folders(folder: Path, host: str | None = None) -> Folders:
    """What the INI files say of the folders, and nothing else of them: a wrong line elsewhere does not matter.

    Of a file that is wrong the defaults count: `load` is what says so. Raises ConfigError where a folder was named and none of
    its files can be read: by the defaults another suite would be meant, that of this machine's own settings.
    """
    ini = reader.read(folder, host or short_host())
    if folder != DEFAULT_FOLDER and not ini.files:
        raise ConfigError(ini.problems)
    app = ini.sections.get("app", {})

    def place(option: str, default: Path) -> Path:
        return Path(app[option].text) if option in app and app[option].text.startswith("/") else default

    return Folders(place("state_dir", DEFAULT_STATE_DIR), place("log_dir", DEFAULT_LOG_DIR), place("run_dir", DEFAULT_RUN_DIR))


def short_host() -> str:
    """This host's name without its domain."""
    return os.uname().nodename.partition(".")[0]
