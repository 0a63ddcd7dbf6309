"""What the demo's tasks have to know, from `demo/demo.json` in the state folder of the suite.

    {"api": "http://127.0.0.1:8080", "key_file": "/etc/warren/demo.key", "folder": "/var/lib/warren/demo/files"}

The key itself is read from its file for each call: neither this file nor any message ever holds it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from celery import Celery

from warren.demo.document_files import write_whole
from warren.errors import WarrenError


@dataclass(frozen=True)
class DemoSettings:
    """`api`: the URL of the API without a slash at its end; `folder`: where documents, downloads and reports go;
    `ticks`: the file that each tick of the schedule appends a line to."""

    api: str
    key_file: Path
    folder: Path
    ticks: Path

    @property
    def reachable(self) -> tuple[tuple[str, int], ...]:
        """The hosts, each with a port, that a download may reach although they are not public: the API's, which is on loopback.

        The port counts: on the others of that host are the services that a download must not reach.
        """
        api = urlsplit(self.api)
        try:
            port = api.port or (443 if api.scheme == "https" else 80)
        except ValueError:  # no port at all
            return ()
        return ((api.hostname, port),) if api.hostname else ()

    @property
    def key(self) -> str:
        """The key that the API demands."""
        return self.key_file.read_text(encoding="ascii").strip()


def file_in(state_dir: Path) -> Path:
    """Where the settings of the demo lie."""
    return state_dir / "demo" / "demo.json"


def load(app: Celery) -> DemoSettings:
    """The settings of the suite whose app this is. Raises WarrenError naming the file and what is wrong with it."""
    return read(file_in(Path(app.conf.warren_state_dir)))


def read(file: Path) -> DemoSettings:
    """The settings in this file. Raises WarrenError."""
    expected = f"{file}: expected a JSON object with api, key_file and folder"
    try:
        told = json.loads(file.read_bytes())
        api, key_file, folder = (str(told[name]) for name in ("api", "key_file", "folder"))
    except (OSError, ValueError) as error:
        raise WarrenError(f"{expected}, found: {error}; write it, docs/quickstart.md shows one") from error
    except (KeyError, TypeError) as error:
        raise WarrenError(f"{expected}, found one without {error}; docs/quickstart.md shows one") from error
    return DemoSettings(api, Path(key_file), Path(folder), file.parent / "ticks.jsonl")


def write(file: Path, settings: DemoSettings) -> None:
    """Makes `read` answer these settings."""
    told = {name: str(value) for name, value in asdict(settings).items() if name != "ticks"}
    write_whole(file, [json.dumps(told).encode()])
