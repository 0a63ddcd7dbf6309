"""The directory of one run, with INI files, state, logs and sockets."""

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
    """The paths of a run, and the names of its queues."""

    home: Path
    suffix: str = ""  # makes the names unique on a broker that others use as well
    own: bool = False  # whether the run made the directory itself, because the user named none

    @property
    def config(self) -> Path:
        """The directory of the settings: DIR of `warren --config DIR`."""
        return self.home / "config"

    @property
    def log(self) -> Path:
        """The directory of all logs."""
        return self.home / "log"

    @property
    def queues(self) -> tuple[str, str]:
        """Return the names of the documents' queue, and of the queue for all other tasks."""
        return f"documents{self.suffix}", f"demo{self.suffix}" if self.suffix else "default"

    @property
    def settings_file(self) -> Path:
        """The file that the demo's tasks read."""
        return file_in(self.home / "state")

    def settings(self, api: str) -> DemoSettings:
        """Return the settings of the demo's tasks, with the API at that URL."""
        directory = self.settings_file.parent
        return DemoSettings(
            api, self.home / "api.key", directory / "files", directory / "ticks.jsonl"
        )

    @property
    def broker_url(self) -> Path:
        """The path of the file with the broker's URL, if the run has one."""
        return self.config / "broker.url"

    def forget(self) -> None:
        """Remove the file with the broker's URL, because no password must stay after its run."""
        self.broker_url.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove all files of a run that never began.

        In a directory that the user named, remove only the file with the broker's URL.
        """
        if self.own:
            shutil.rmtree(self.home, ignore_errors=True)
        else:
            self.forget()


def make(directory: Path | None, broker: str | None) -> Scratch:
    """Make the directory, by default a new one with a short path, and write its INI files.

    The URL of the broker may hold a password, so it goes into a file of its own that only its owner
    may read. Raises CannotWrite when the directory cannot be made, or is not empty.
    """
    scratch = Scratch(
        _home(directory), f"-{secrets.token_hex(3)}" if broker else "", own=directory is None
    )
    scratch.config.mkdir()
    scratch.log.mkdir()
    if broker:
        secret = os.open(scratch.broker_url, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(secret, "w", encoding="utf-8") as file:
            file.write(broker + "\n")
    (scratch.config / "warren.ini").write_text(ini(scratch, bool(broker)), encoding="utf-8")
    return scratch


def ini(scratch: Scratch, broker: bool) -> str:
    """Return the text of `warren.ini`.

    `broker` says whether the run uses the broker in broker.url instead of the embedded broker.
    """
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


def _home(directory: Path | None) -> Path:
    # Not the system's temporary directory, whose path may be long: the path of a unix socket is
    # limited to 107 bytes.
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="warren-", dir="/tmp"))
    directory = directory.absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = next(directory.iterdir(), None)
    except OSError as error:
        raise CannotWrite(
            f"{directory}: expected a directory to write to, found: {error.strerror}; name another"
        ) from error
    if found:
        raise CannotWrite(
            f"{directory}: expected an empty directory, found {found.name} in it; name another, or "
            "empty it"
        )
    return directory
