"""Where a host's files are, known without reading all of its settings."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from warren.config import reader

#: Where the INI files are.
DEFAULT_FOLDER = Path("/etc/warren")
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

    Raises nothing: of a file that cannot be read the defaults count. `load` is what says that a file is wrong.
    """
    app = reader.read(folder, host or short_host()).sections.get("app", {})

    def place(option: str, default: Path) -> Path:
        return Path(app[option].text) if option in app and app[option].text.startswith("/") else default

    return Folders(place("state_dir", DEFAULT_STATE_DIR), place("log_dir", DEFAULT_LOG_DIR), place("run_dir", DEFAULT_RUN_DIR))


def short_host() -> str:
    """This host's name without its domain."""
    return socket.gethostname().partition(".")[0]
