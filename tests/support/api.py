"""The demo's API as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from support.servers import process
from support.wait import TIMEOUT, until


@dataclass(frozen=True)
class Api:
    """One that runs: its record and its key lie in `directory`."""

    url: str
    key: str
    directory: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str, key: str | None = None) -> requests.Response:
        """What it answers to its own key, or to another."""
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        return requests.get(self.url + path, headers=headers, timeout=TIMEOUT)


@contextmanager
def api(directory: Path, limit: str, latency: float) -> Iterator[Api]:
    """An API with this limit, such as 2/1s, whose documents take `latency` seconds."""
    announced, key = directory / "announced", directory / "key"
    arguments = [
        sys.executable,
        "-m",
        "warren.demo.api",
        "--limit",
        limit,
        "--latency",
        str(latency),
        "--key-file",
        str(key),
    ]
    arguments += ["--record", str(directory / "record"), "--announce", str(announced)]
    with process(arguments, directory / "api.out") as running:
        until(lambda: announced.exists() or running.poll() is not None, what="the API to listen")
        assert running.poll() is None, (directory / "api.out").read_text(encoding="utf-8")
        yield Api(
            json.loads(announced.read_bytes())["url"],
            key.read_text(encoding="ascii").strip(),
            directory,
            running,
        )
