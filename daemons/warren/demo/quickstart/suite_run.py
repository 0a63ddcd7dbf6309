"""The API and the suite of one run: their start, the wait until they are ready, and their end."""

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
from warren.status.condition import Condition
from warren.system.process import Process, process_of

_START_TIMEOUT = 90.0  # seconds


class Suite:
    """The processes of one run.

    keep: whether they outlive this process.
    """

    def __init__(self, scratch: Scratch, settings: Settings, keep: bool) -> None:
        self.scratch = scratch
        self.app = make_app(settings)
        self._shared = not settings.broker.embedded
        self._keep = keep
        self._api: subprocess.Popen[bytes] | None = None
        self._supervise: subprocess.Popen[bytes] | None = None

    def start(self, documents: int) -> DemoSettings:
        """Start an API with at least so many documents, then the suite.

        Returns the settings of the demo's tasks when every program is ready. Raises WarrenError.
        """
        # A broker that does not answer is reported now, and not by five daemons later.
        with reach(self.app):
            pass
        demo = self._start_api(documents)
        demo_settings.write(self.scratch.settings_file, demo)
        arguments = ["warren", "--config", str(self.scratch.config), "supervise"]
        self._supervise = start(arguments, self.scratch.log / "supervise.out", self._keep)
        self._wait("the programs of the suite", self._ready)
        return demo

    @property
    def begun(self) -> bool:
        """Whether any process was started."""
        return self._api is not None

    def check(self) -> None:
        """Raise WarrenError when the API or the suite has ended."""
        for process, out in ((self._api, "api.out"), (self._supervise, "supervise.out")):
            if process is not None:
                alive_or_raise(process, self.scratch.log / out)
        leave_if_asked()

    def running(self) -> list[Process]:
        """Return the processes that run, in the order in which to end them."""
        started = [process for process in (self._supervise, self._api) if process is not None]
        return [
            process for process in (process_of(each.pid) for each in started) if process is not None
        ]

    def stop(self) -> None:
        """End both processes in any case, and remove the run's traces from a shared broker."""
        for number in STOPPING:
            # A second signal must not leave one of the processes running.
            signal.signal(number, signal.SIG_IGN)
        hurried: list[int] = []  # a second Ctrl-C ends everything at once
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
        arguments = ["warren.demo.api", "--limit", str(LIMIT), "--key-file", str(demo.key_file)]
        arguments += [
            "--record",
            str(self.scratch.log / "api-calls.jsonl"),
            "--announce",
            str(announced),
        ]
        self._api = start(arguments, self.scratch.log / "api.out", self._keep)
        self._wait("the API", announced.exists)
        told = json.loads(announced.read_bytes())
        if documents > told["documents"]:
            raise WarrenError(
                f"--documents: expected 1 to {told['documents']}, which the API has, found "
                f"{documents}"
            )
        return self.scratch.settings(told["url"])

    def _wait(self, what: str, ready: Any) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise WarrenError(
                    f"{what}: expected to be ready within {_START_TIMEOUT:g} s; see "
                    f"{self.scratch.log}"
                )
            time.sleep(0.1)

    def _ready(self) -> bool:
        arguments = [
            sys.executable,
            "-P",
            "-m",
            "warren",
            "--config",
            str(self.scratch.config),
            "status",
            "--json",
        ]
        answer = subprocess.run(
            arguments, capture_output=True, check=False, cwd=self.scratch.home
        ).stdout
        said: dict[str, Any] = (
            json.loads(answer) if answer.strip() else {"ready": False, "programs": []}
        )
        for program in said["programs"]:
            # The first end counts, because no operator corrects anything while this run waits.
            if Condition.of(program["condition"]).failed:
                error = program["last_error"] or program["state"]
                kind = (
                    Unavailable
                    if error.startswith(f"exit status {ExitCode.UNAVAILABLE:d}")
                    else WarrenError
                )
                raise kind(
                    f"{program['program']}: expected it to start, found: {error}; see "
                    f"{self.scratch.log}"
                )
        return bool(said["ready"])


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


_asked: list[int] = []


def stop_on_signals() -> None:
    """Convert the signals that ask for an end to SystemExit, so that all processes are stopped."""

    def leave(number: int, _frame: FrameType | None) -> None:
        _asked.append(number)
        sys.exit(128 + number)

    for number in STOPPING:
        signal.signal(number, leave)


def leave_if_asked() -> None:
    """Raise SystemExit again if a signal has asked for it.

    Python drops an exception that a handler raises while an object is being finalized.
    """
    if _asked:
        sys.exit(128 + _asked[0])
