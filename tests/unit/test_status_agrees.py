"""All reports say the same of a program, in each of its states.

They are STATUS of systemd, `warren status` with and without --json, and `warren health`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from supervisor.process import Subprocess
from supervisor.states import ProcessStates, getProcessStateDescription

from support.systemd import Listener, systemd
from warren.cli import main, program_rows
from warren.config import Settings, load
from warren.control.supervisord_client import Program
from warren.status import broker_report, heartbeat, suite_report
from warren.status.condition import Condition
from warren.status.heartbeat import HeartbeatWriter
from warren.status.programs_file import read
from warren.supervise.daemon_process import DaemonProcess
from warren.supervise.liveness.observe import LONGEST_STEP, Observation, look
from warren.supervise.liveness.stale_heartbeat import STALE
from warren.supervise.status.program_status import status_of
from warren.supervise.status.reporter import StatusReporter, View
from warren.supervise.status.sd_notify import Notifier

Written = Callable[..., Path]
#: What `warren health` prints of a daemon that works, and of one that an operator has to look at.
WELL, CRITICAL = 0, 2


@dataclass(frozen=True)
class State:
    """One state of a daemon: what supervisord knows of it, and what its heartbeat file holds.

    `heartbeat` is the state in the heartbeat, "" for no file; `by` is the number of its writer;
    `text` is the content of the file instead.
    """

    condition: Condition
    state: int = ProcessStates.RUNNING
    heartbeat: str = "ready"
    by: int = os.getpid()
    text: str = ""
    silence: float = 0.0
    backing_off: bool = False
    ending: str = ""
    program: str = "worker-a"


STATES = {
    "starting, for supervisord": State(Condition.STARTING, ProcessStates.STARTING),
    "starting, and connecting already": State(
        Condition.STARTING, ProcessStates.STARTING, "connecting"
    ),
    "starting, for its main loop": State(Condition.STARTING, heartbeat="starting"),
    "connecting": State(Condition.CONNECTING, heartbeat="connecting"),
    "ready": State(Condition.READY),
    "ready, nearly silent": State(Condition.READY, silence=STALE - LONGEST_STEP),
    "standby": State(Condition.STANDBY, heartbeat="standby", program="beat"),
    "stopping, for supervisord": State(Condition.STOPPING, ProcessStates.STOPPING),
    "stopping, for its main loop": State(Condition.STOPPING, heartbeat="stopping"),
    "silent while ready": State(Condition.SILENT, silence=STALE),
    "silent while connecting": State(Condition.SILENT, heartbeat="connecting", silence=60.0),
    "ended, to be started in a moment": State(
        Condition.RESTARTING, ProcessStates.BACKOFF, ending="SIGKILL"
    ),
    "backing off": State(
        Condition.BACKING_OFF, ProcessStates.BACKOFF, backing_off=True, ending="exit status 1"
    ),
    "backing off, tried again": State(
        Condition.BACKING_OFF, ProcessStates.STARTING, backing_off=True, ending="exit status 1"
    ),
    "backing off, tried again and connecting": State(
        Condition.BACKING_OFF, heartbeat="connecting", backing_off=True, ending="exit status 1"
    ),
    "ready after a crash loop": State(Condition.READY, backing_off=True, ending="exit status 1"),
    "ended by itself": State(Condition.ENDED, ProcessStates.EXITED, ending="exit status 0"),
    "given up": State(Condition.ENDED, ProcessStates.FATAL, ending="exit status 78"),
    "stopped on purpose": State(Condition.STOPPED, ProcessStates.STOPPED),
    "stopped, with its last heartbeat": State(Condition.STOPPED, ProcessStates.STOPPED, "stopping"),
    "a heartbeat of an earlier process": State(Condition.NO_HEARTBEAT, by=1),
    "no heartbeat yet": State(Condition.NO_HEARTBEAT, heartbeat=""),
    "an unreadable heartbeat": State(Condition.UNREADABLE, text="no JSON"),
    "a heartbeat of another shape": State(Condition.UNREADABLE, text='{"at": "now"}'),
    "a state of another version": State(Condition.UNKNOWN, heartbeat="dancing"),
}


@pytest.fixture
def settings(etc: Written, tmp_path: Path) -> Settings:
    """The settings of a suite with one worker; its broker is known to be well."""
    directories = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    (tmp_path / "run").mkdir()
    broker = {"kind": "embedded", "reachable": True, "reason": "", "alarms": []}
    at = time.clock_gettime(time.CLOCK_BOOTTIME)
    (tmp_path / "run" / "broker.json").write_text(
        json.dumps({"at": at, "broker": broker, "queues": {}, "quotas": {}}), encoding="utf-8"
    )
    return load(etc(f"[app]\n{directories}[worker:a]\n"))


def write_heartbeat(run_dir: Path, state: State) -> None:
    """Write the heartbeat file as the state has it."""
    writer = HeartbeatWriter(run_dir, state.program)
    if state.heartbeat:
        writer.write(state.heartbeat)
    if state.by != os.getpid():
        content = json.loads(writer.path.read_text(encoding="utf-8"))
        writer.path.write_text(json.dumps(content | {"pid": state.by}), encoding="utf-8")
    if state.text:
        writer.path.write_text(state.text, encoding="utf-8")


def observed(run_dir: Path, state: State, pid: int | None) -> Observation | None:
    """Return what supervisord's loop observes over as many ticks as the silence takes."""
    seen: dict[str, Observation] = {}
    for _ in range(1 + int(state.silence / LONGEST_STEP)):
        found = heartbeat.read(run_dir, [state.program])
        pids = {state.program: pid} if pid else {}
        seen = look(seen, found.by_program, pids, LONGEST_STEP, True, found.errors_found)
    return seen.get(state.program)


def process_in(state: State) -> DaemonProcess:
    """Return supervisord's object for the daemon, in this state."""
    process = DaemonProcess(SimpleNamespace(name=state.program))
    process.state, process.backing_off = state.state, state.backing_off
    process.ending = state.ending
    if state.state in (ProcessStates.STARTING, ProcessStates.RUNNING, ProcessStates.STOPPING):
        process.pid = os.getpid()
    return process


class Outputs:
    """The four outputs on one program, each from the real code over the files."""

    def __init__(
        self,
        settings: Settings,
        listener: Listener,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.settings, self.listener, self.capsys = settings, listener, capsys
        self.monkeypatch = monkeypatch
        self._reporter = StatusReporter(settings.app.run_dir, Notifier(listener.address))

    def publish(self, process: Any, observation: Observation | None) -> None:
        """Judge the program, and publish the judgement, as each tick of supervisord does."""
        status = status_of(process, observation, self.settings)
        self._reporter.tell(View([status], 0, "running"))
        state, pid = str(getProcessStateDescription(process.state)), process.pid or None
        program = Program(status.program, state, pid, "", None)  # what its socket would answer
        self.monkeypatch.setattr(program_rows, "programs", lambda _: [program])

    def warren(self, *verb: str) -> tuple[int, str]:
        """Return the exit code and the output of a command."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["--config", str(self.settings.directory), *verb])
        return int(end.value.code or 0), self.capsys.readouterr().out


@pytest.fixture
def outputs(
    settings: Settings,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """The outputs on a program that is not published yet."""
    monkeypatch.setenv("COLUMNS", "80")
    for module in (suite_report, broker_report):
        monkeypatch.setattr(module, "OLD", 600.0)  # a busy machine may take long over one test
    with ExitStack() as stack:
        listener = stack.enter_context(systemd(scratch))
        yield Outputs(settings, listener, monkeypatch, capsys)


@pytest.mark.parametrize("name", STATES)
def test_all_outputs_agree(outputs: Outputs, settings: Settings, name: str) -> None:
    """Each of the four says ready or not ready as the others do, and with the same word."""
    state = STATES[name]
    word, ready = str(state.condition), state.condition in (Condition.READY, Condition.STANDBY)
    process = process_in(state)
    write_heartbeat(settings.app.run_dir, state)
    outputs.publish(process, observed(settings.app.run_dir, state, process.pid))

    status = outputs.listener.said("STATUS")[-1]
    assert status.startswith("ready" if ready else "running;"), status
    assert word in status, status

    code, text = outputs.warren("status", "--json")
    said = json.loads(text)
    (row,) = said["programs"]
    assert (code, said["ready"], row["ready"], row["condition"]) == (
        0 if ready else 1,
        ready,
        ready,
        word,
    )
    assert said["status"] == status

    code, table = outputs.warren("status")
    assert code == (0 if ready else 1)
    line = next(line for line in table.splitlines() if line.startswith(f"{state.program} "))
    assert line.removeprefix(state.program).strip().startswith(word), line
    assert status.split(";")[0] in table

    code, health = outputs.warren("health", state.program.partition("-")[0])
    assert (code == WELL) == ready, health
    assert state.program in health
    assert word in health, health


def test_each_condition_was_reached() -> None:
    """The states above lead to each condition that a daemon of Warren can have."""
    assert {state.condition for state in STATES.values()} == set(Condition) - {Condition.RUNNING}


def test_an_operators_own_program_is_ready_without_a_heartbeat(outputs: Outputs) -> None:
    """The suite does not count on it.

    While it runs it is shown so, and when it is down the suite is ready all the same.
    """
    config = SimpleNamespace(name="relay")
    process: Any = Subprocess(config)
    process.group = SimpleNamespace(config=config)
    for state, word in ((ProcessStates.RUNNING, "running"), (ProcessStates.STOPPED, "stopped")):
        process.state, process.pid = state, 7 if state == ProcessStates.RUNNING else 0
        outputs.publish(process, None)
        code, text = outputs.warren("status", "--json")
        said = json.loads(text)
        assert (code, said["ready"], said["programs"][0]["condition"]) == (0, True, word)
        assert outputs.listener.said("STATUS")[-1].startswith("ready")


@pytest.mark.parametrize("kind", ["old", "dead", "garbage", "gone", "behind"])
def test_nothing_is_known_from_a_report_that_is_not_of_now(
    outputs: Outputs, settings: Settings, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old report, no report, or one of an earlier process makes no program ready.

    The old report is that of a supervisord that has ended.
    """
    state, run = STATES["ready"], settings.app.run_dir
    process = process_in(state)
    write_heartbeat(run, state)
    outputs.publish(process, observed(run, state, process.pid))
    path = run / "programs.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if kind == "old":
        old = suite_report.OLD + 1
        path.write_text(json.dumps(content | {"at": content["at"] - old}), encoding="utf-8")
        os.utime(path, (time.time() - old, time.time() - old))
    elif kind == "dead":
        path.write_text(json.dumps(content | {"start": content["start"] + 1}), encoding="utf-8")
    elif kind == "garbage":
        path.write_text("garbage", encoding="utf-8")
    elif kind == "gone":
        path.unlink()
    else:
        monkeypatch.setattr(program_rows, "_TIMEOUT", 0.0)
        content["programs"][0]["pid"] += 1
        path.write_text(json.dumps(content), encoding="utf-8")
    code, text = outputs.warren("status", "--json")
    said = json.loads(text)
    (row,) = said["programs"]
    assert (code, said["ready"], row["ready"], row["condition"]) == (1, False, False, "unknown")
    if kind != "behind":  # health does not ask supervisord, so it cannot see this one
        assert said["status"] == ""
        assert outputs.warren("health", "worker")[0] == CRITICAL


def test_a_report_is_read_as_it_was_written(outputs: Outputs, settings: Settings) -> None:
    """The reader's record is equal to the writer's."""
    for state in STATES.values():
        process = process_in(state)
        status = status_of(process, observed(settings.app.run_dir, state, process.pid), settings)
        StatusReporter(settings.app.run_dir, Notifier()).tell(View([status], 0, "running"))
        report = read(settings.app.run_dir).known
        assert report is not None
        assert report.programs == [replace(status)]
        assert asdict(report.programs[0]) == asdict(status)
