"""The settings of the demo's tasks, from `demo/demo.json` in the state directory of the suite.

    {"api": "http://127.0.0.1:8080", "key_file": "/etc/warren/demo.key",
     "directory": "/var/lib/warren/demo/files"}

The key itself is read from its file for each call. So neither this file nor any message holds it.
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
    """The settings of the demo's tasks.

    api: the URL of the API, without a slash at its end. key_file: the file of the key that the API
    needs. directory: the directory of documents, downloads and reports. ticks: the file to which
    each tick of the schedule appends a line.
    """

    api: str
    key_file: Path
    directory: Path
    ticks: Path

    @property
    def reachable(self) -> tuple[tuple[str, int], ...]:
        """Return the host and the port of the API, which a download may reach although they are not
        public.

        The API is on loopback. The port counts, because other ports of that host have services that
        a download must not reach.
        """
        api = urlsplit(self.api)
        try:
            port = api.port or (443 if api.scheme == "https" else 80)
        except ValueError:  # not a valid port
            return ()
        return ((api.hostname, port),) if api.hostname else ()

    @property
    def key(self) -> str:
        """Return the key that the API needs."""
        return self.key_file.read_text(encoding="ascii").strip()


def file_in(state_dir: Path) -> Path:
    """Return the path of the demo's settings."""
    return state_dir / "demo" / "demo.json"


def load(app: Celery) -> DemoSettings:
    """Return the settings of the suite whose app this is.

    Raises WarrenError, which names the file and says what is wrong with the file.
    """
    return read(file_in(Path(app.conf.warren_state_dir)))


def read(file: Path) -> DemoSettings:
    """Return the settings in this file. Raises WarrenError."""
    expected = f"{file}: expected a JSON object with api, key_file and directory"
    try:
        told = json.loads(file.read_bytes())
        api, key_file, directory = (str(told[name]) for name in ("api", "key_file", "directory"))
    except (OSError, ValueError) as error:
        raise WarrenError(
            f"{expected}, found: {error}; write the file as docs/quickstart.md shows"
        ) from error
    except (KeyError, TypeError) as error:
        raise WarrenError(
            f"{expected}, found one without {error}; docs/quickstart.md shows the file"
        ) from error
    return DemoSettings(api, Path(key_file), Path(directory), file.parent / "ticks.jsonl")


def write(file: Path, settings: DemoSettings) -> None:
    """Write these settings to the file, for `read`."""
    told = {name: str(value) for name, value in asdict(settings).items() if name != "ticks"}
    write_whole(file, [json.dumps(told).encode()])
