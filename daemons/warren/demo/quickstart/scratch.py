"""The folder of one run: INI files, and places for state, logs and sockets."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from warren.config import Rate
from warren.demo.demo_settings import DemoSettings, file_in
from warren.errors import CannotWrite

LIMIT = Rate(60, 10.0)
EVERY = 30  # seconds between two ticks of the schedule entry

_INI = """\
# Written by scripts/quickstart: the settings of one run.

[app]
name = {app}
modules = warren.demo.tasks
state_dir = {home}/state
log_dir = {home}/log
run_dir = {home}/run
{broker}
[results]
expires = 1h

[queue:{documents}]
tasks = warren.demo.collect

[queue:{others}]
tasks = *

[worker:one{suffix}]
queues = {documents}, {others}
concurrency = 2
stop_timeout = 10s

[worker:two{suffix}]
queues = {documents}, {others}
concurrency = 2
stop_timeout = 10s

[quota:documents]
limit = {limit}
tasks = warren.demo.collect
longest_call = 8s

[schedule:tick]
task = warren.demo.tick
every = {every}s
"""


@dataclass(frozen=True)
class Scratch:
    """Where a run keeps what, and how its queues are called."""

    home: Path
    suffix: str = ""  # sets the names apart on a broker that others use as well
    own: bool = False  # a folder that nobody named

    @property
    def config(self) -> Path:
        """The settings folder: the DIR of `warren --config DIR`."""
        return self.home / "config"

    @property
    def log(self) -> Path:
        """The folder of all logs."""
        return self.home / "log"

    @property
    def queues(self) -> tuple[str, str]:
        """The queue of the documents, and that of everything else."""
        return f"documents{self.suffix}", f"demo{self.suffix}" if self.suffix else "default"

    @property
    def settings_file(self) -> Path:
        """The file that the demo's tasks read."""
        return file_in(self.home / "state")

    def settings(self, api: str) -> DemoSettings:
        """What the demo's tasks have to know, with the API at that URL."""
        place = self.settings_file.parent
        return DemoSettings(api, self.home / "api.key", place / "files", place / "ticks.jsonl")

    @property
    def broker_url(self) -> Path:
        """The file of the broker's URL, where a run has one."""
        return self.config / "broker.url"

    def forget(self) -> None:
        """Removes the broker's URL: a password must not lie about when the run that needed it is over."""
        self.broker_url.unlink(missing_ok=True)

    def discard(self) -> None:
        """Removes all of a run that never began, but for a folder that the user named: there only the broker's URL."""
        if self.own:
            shutil.rmtree(self.home, ignore_errors=True)
        else:
            self.forget()


def make(folder: Path | None, broker: str | None) -> Scratch:
    """Makes the folder, by default a new one with a short path, and writes the INI files for this broker into it.

    The URL may hold a password, so it goes into a file of its own that only its owner may read.
    Raises CannotWrite where the folder cannot be made or holds anything.
    """
    scratch = Scratch(_home(folder), f"-{secrets.token_hex(3)}" if broker else "", own=folder is None)
    scratch.config.mkdir()
    scratch.log.mkdir()
    if broker:
        secret = os.open(scratch.broker_url, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(secret, "w", encoding="utf-8") as file:
            file.write(broker + "\n")
    (scratch.config / "warren.ini").write_text(ini(scratch, bool(broker)), encoding="utf-8")
    return scratch


def ini(scratch: Scratch, broker: bool) -> str:
    """The text of `warren.ini`; `broker`: whether the broker is the one in broker.url, not the embedded one."""
    documents, others = scratch.queues
    return _INI.format(
        app=f"quickstart{scratch.suffix}",
        home=scratch.home,
        broker=f"\n[broker]\nurl_file = {scratch.broker_url}\n" if broker else "",
        documents=documents,
        others=others,
        suffix=scratch.suffix,
        limit=LIMIT,
        every=EVERY,
    )


def _home(folder: Path | None) -> Path:
    # Not the system's folder for scratch files, which may be deep: the path of a unix socket has room for 107 bytes.
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="warren-", dir="/tmp"))
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = next(folder.iterdir(), None)
    except OSError as error:
        raise CannotWrite(f"{folder}: expected a folder to write to, found: {error.strerror}; name another") from error
    if found:
        raise CannotWrite(f"{folder}: expected an empty folder, found {found.name} in it; name another, or empty it")
    return folder
