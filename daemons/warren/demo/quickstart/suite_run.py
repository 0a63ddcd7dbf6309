"""The API and the suite of one run: started together, ready or named why not, and ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import Any

from warren.app.factory import make_app
from warren.broker.connect import reach
from warren.config import Settings
from warren.demo import demo_settings
from warren.demo.demo_settings import DemoSettings
from warren.demo.quickstart.cleanup import remove_traces
from warren.demo.quickstart.processes import alive_or_raise, end, start
from warren.demo.quickstart.scratch import LIMIT, Scratch
from warren.errors import ExitCode, Unavailable, WarrenError
from warren.system.process import Process, of

_START_TIMEOUT = 90.0  # seconds
_ENDED = ("BACKOFF", "EXITED", "FATAL")


class Suite:
    """What runs on behalf of one run. `keep`: it outlives this process."""

    def __init__(self, scratch: Scratch, settings: Settings, keep: bool) -> None:
        self.scratch = scratch
        self.app = make_app(settings)
        self._shared = not settings.broker.embedded
        self._keep = keep
        self._api: subprocess.Popen[bytes] | None = None
        self._supervise: subprocess.Popen[bytes] | None = None

    def start(self, documents: int) -> DemoSettings:
        """Starts an API with at least so many documents, then the suite; returns what the demo's tasks know, once every
        program is ready. Raises WarrenError."""
        with reach(self.app):  # a broker that does not answer is told now, not found by five daemons later
            pass
        demo = self._start_api(documents)
        demo_settings.write(self.scratch.settings_file, demo)
        words = ["warren", "--config", str(self.scratch.config), "supervise"]
        self._supervise = start(words, self.scratch.log / "supervise.out", self._keep)
        self._wait("the programs of the suite", self._ready)
        return demo

    @property
    def begun(self) -> bool:
        """Whether anything was started."""
        return self._api is not None

    def check(self) -> None:
        """Raises WarrenError when the API or the suite has ended."""
        for process, out in ((self._api, "api.out"), (self._supervise, "supervise.out")):
            if process is not None:
                alive_or_raise(process, self.scratch.log / out)
        leave_if_asked()

    def running(self) -> list[Process]:
        """Both processes, in the order in which they are to be ended."""
        started = [process for process in (self._supervise, self._api) if process is not None]
        return [process for process in (of(each.pid) for each in started) if process is not None]

    def stop(self) -> None:
        """Ends both, whatever they do, and leaves nothing of the run on a broker of others."""
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        hurried: list[int] = []  # it ends everything at once instead
        signal.signal(signal.SIGINT, lambda number, _: hurried.append(number))
        for process in self.running():
            end(process, hurried=lambda: bool(hurried))
        for child in (self._supervise, self._api):
            if child is not None:
                child.wait()
        if self._shared:
            remove_traces(self.app, self.scratch.queues)

    def _start_api(self, documents: int) -> DemoSettings:
        announced = self.scratch.home / "api.json"
        demo = self.scratch.settings("")
        words = ["warren.demo.api", "--limit", str(LIMIT), "--key-file", str(demo.key_file)]
        words += ["--record", str(self.scratch.log / "api-calls.jsonl"), "--announce", str(announced)]
        self._api = start(words, self.scratch.log / "api.out", self._keep)
        self._wait("the API", announced.exists)
        told = json.loads(announced.read_bytes())
        if documents > told["documents"]:
            raise WarrenError(f"--documents: expected 1 to {told['documents']}, which the API has, found {documents}")
        return self.scratch.settings(told["url"])

    def _wait(self, what: str, ready: Any) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise WarrenError(f"{what}: expected to be ready within {_START_TIMEOUT:g} s; see {self.scratch.log}")
            time.sleep(0.1)

    def _ready(self) -> bool:
        words = [sys.executable, "-P", "-m", "warren", "--config", str(self.scratch.config), "status", "--json"]
        answer = subprocess.run(words, capture_output=True, check=False, cwd=self.scratch.home).stdout
        said: dict[str, Any] = json.loads(answer) if answer.strip() else {"ready": False, "programs": []}
        for program in said["programs"]:
            if program["state"] in _ENDED:  # at the first end: nobody mends anything while this run waits
                trouble = program["trouble"] or program["state"]
                kind = Unavailable if trouble.startswith(f"exit status {ExitCode.UNAVAILABLE:d}") else WarrenError
                raise kind(f"{program['program']}: expected it to start, found: {trouble}; see {self.scratch.log}")
        return bool(said["ready"])


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


_asked: list[int] = []


def stop_on_signals() -> None:
    """Turns the signals that ask for an end into an exception, so that everything is stopped on the way out."""

    def leave(number: int, _frame: FrameType | None) -> None:
        _asked.append(number)
        sys.exit(128 + number)

    for number in STOPPING:
        signal.signal(number, leave)


def leave_if_asked() -> None:
    """Raises the exception again: Python drops one that a handler raises while an object is being finalized."""
    if _asked:
        sys.exit(128 + _asked[0])
