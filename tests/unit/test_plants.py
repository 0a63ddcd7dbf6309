"""Every command that looks at a file ends, whatever stands in its place, and reports it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from support.plants import PLANTS
from support.wait import run_to_end
from warren.beat.last_ticks import KnownTicks, LastTicks
from warren.beat.leader.embedded_leader import EmbeddedLeader
from warren.broker.embedded.exchanges import Table
from warren.broker.embedded.routing import Binding
from warren.broker.embedded.topology import Topology
from warren.cli import main, program_rows
from warren.config import Settings
from warren.control.supervisord_client import Program
from warren.errors import ExitCode
from warren.status.heartbeat import HeartbeatWriter
from warren.status.programs_file import read
from warren.supervise.liveness.recover import consumed_queues
from warren.supervise.programs.directories import noted_run_dir
from warren.system.process import current_process
from warren.worker.crash_counts import CrashCounts
from warren.worker.crash_counts import _read as crashes
from warren.worker.current_message import CurrentMessage

Written = Callable[..., Path]

#: Each file that a process reads and another one writes: its place, and the words of the command
#: that has to name it.
PLACES = {
    "run/heartbeats/worker-a.json": ("status",),
    "run/programs.json": ("health", "supervisord"),
    "run/broker.json": ("health", "broker"),
    "log/worker.log": ("logs",),
    "log/worker.log.1": ("logs", "-n", "5"),
    "log/worker.log.2.gz": ("logs", "--json"),
}
#: A daemon that starts and beats once.
DAEMON = """
import sys
from pathlib import Path
from warren.config import load
from warren.runtime.daemon import Daemon
from warren.status.heartbeat import read
settings = load(Path(sys.argv[1]), "here")
one = Daemon(settings, "beat", "beat")
one.start()
assert one.heartbeat.write("ready")
found = read(settings.app.run_dir, ["beat"])
print(list(found.errors_found), found.by_program["beat"].state)
"""
VERBS = (
    ["status"],
    ["status", "--json"],
    ["health"],
    ["health", "--json"],
    ["logs"],
    ["logs", "-n", "1"],
    ["reload"],
)


@pytest.fixture
def config(etc: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a command on a host whose suite is well, but for what is planted."""
    run, me, at = tmp_path / "run", current_process(), time.clock_gettime(time.CLOCK_BOOTTIME)
    HeartbeatWriter(run, "worker-a").write("ready")
    entry = {
        "program": "worker-a",
        "state": "RUNNING",
        "pid": me.pid,
        "since": 0.0,
        "condition": "ready",
        "condition_since": 0.0,
        "ready": True,
        "backing_off": False,
        "last_error": "",
    }
    listed = [entry, entry | {"program": "quota-watchdog"}]
    said = {
        "at": at,
        "pid": me.pid,
        "start": me.start,
        "state": "running",
        "status": "ready",
        "programs": listed,
        "reloads": [],
    }
    (run / "programs.json").write_text(json.dumps(said))
    broker = {"kind": "embedded", "reachable": True, "reason": "", "alarms": []}
    (run / "broker.json").write_text(
        json.dumps({"at": at, "broker": broker, "queues": {}, "quotas": {}})
    )
    (tmp_path / "log").mkdir()
    monkeypatch.setattr(
        program_rows, "programs", lambda _: [Program("worker-a", "RUNNING", me.pid, "", None)]
    )
    directories = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    return ["--config", str(etc(f"[app]\n{directories}[worker:a]\n"))]


@pytest.mark.parametrize("word", PLANTS)
@pytest.mark.parametrize("place", PLACES)
def test_looking_never_hangs(
    config: list[str], tmp_path: Path, place: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command ends with one of its exit codes and without a traceback.

    A command that needs the file names what is there.
    """
    path = tmp_path / place
    path.unlink(missing_ok=True)
    PLANTS[word](path)
    for verb in VERBS:
        code: object = None
        try:
            code = main([*config, *verb])
        except SystemExit as end:
            code = end.code
        assert code in (ExitCode.OK, ExitCode.FAILURE, 2, ExitCode.UNAVAILABLE), verb
        assert "Traceback" not in capsys.readouterr().err
    with suppress(SystemExit):
        main([*config, *PLACES[place]])
    captured = capsys.readouterr()
    told = captured.out + captured.err
    # A log of a terabyte of nothing is a log with a line that has no end, and an archive of it is
    # none.
    said = {"larger than": ("has no end", "larger than", "incorrect header")}.get(word, (word,))
    assert any(each in told for each in said), told


@pytest.mark.parametrize("word", PLANTS)
def test_what_supervisord_reads_in_each_step(tmp_path: Path, word: str) -> None:
    """Whatever stands in the place of heartbeats and status files holds up no step.

    The loop reads heartbeats, the broker status and its own report.
    """
    for name in ("broker.json", "programs.json"):
        PLANTS[word](tmp_path / name)
    assert consumed_queues(tmp_path) == {}
    assert read(tmp_path).report is None


@pytest.mark.parametrize("word", PLANTS)
def test_what_a_daemon_reads_at_its_start(
    tmp_path: Path, word: str, loaded: Callable[..., Settings]
) -> None:
    """Files of the state directory that are none count as missing: no start waits for a fifo."""
    for name in ("ticks.json", "ticks.json.new", "run_dir", "worker-a.crashes"):
        PLANTS[word](tmp_path / name)
    memory = LastTicks(tmp_path / "ticks.json")
    assert memory.read() == KnownTicks()
    memory.write(KnownTicks({"x": 1.0}))
    assert memory.read() == KnownTicks({"x": 1.0})
    settings = loaded(f"[app]\nstate_dir = {tmp_path}\nrun_dir = {tmp_path}/run\n")
    assert noted_run_dir(settings) == tmp_path / "run"
    assert crashes(tmp_path / "worker-a.crashes") == {}


@pytest.mark.parametrize("word", [word for word in PLANTS if word != "larger than"])
def test_what_a_daemon_writes_at_its_start(tmp_path: Path, word: str) -> None:
    """What stands in the place of a file that outlives the suite makes way.

    No start waits for it, and no link is followed.

    A directory is renamed with what is in it.
    """
    worker, broker, heartbeat = tmp_path / "worker", tmp_path / "broker", tmp_path / "beat"
    places = [
        worker / f"worker-a.{kind}"
        for kind in ("tasks", "crashes", "crashes.new", "requeued", "requeued.new")
    ]
    places += [
        worker / f"worker-a.{kind}"
        for kind in ("current-message", "current-message-counts", "current-message-counts.new")
    ]
    places += [broker / "lock", heartbeat / "ticks.lock"]
    for place in places:
        place.parent.mkdir(exist_ok=True)
        PLANTS[word](place)
        if word == "directory":
            (place / "somebody's").touch()
    crash_counts = CrashCounts(worker, "worker-a", 2)
    crash_counts.open(unasked=True)
    crash_counts.forget([("id", "jobs.run")])
    hand = CurrentMessage(worker, "worker-a")
    hand.open()
    hand.note(b"body", {"id": "x"})
    CurrentMessage(worker, "worker-a").open()
    topology = Topology(broker)
    topology.open()
    topology.declare_queue("here", temporary=False)
    leader = EmbeddedLeader(LastTicks(heartbeat / "ticks.json"))
    assert leader.lead()
    leader.resign()
    assert topology.has_queue("here")
    assert [
        place
        for place in places
        if place.suffix != ".new" and place.is_symlink() and place.name != "worker-a.crashes"
    ] == []
    for target in tmp_path.rglob("*.target"):
        assert target.read_bytes() == b""
    if word == "directory":
        kept = {
            file.parent.name.partition(".moved-away-")[0]
            for file in tmp_path.rglob("*.moved-away-*/somebody's")
        }
        # nobody has died
        assert kept | {"worker-a.crashes", "worker-a.crashes.new"} == {
            place.name for place in places
        }


@pytest.mark.parametrize("heartbeat", ["file", "directory"])
@pytest.mark.parametrize("word", [word for word in PLANTS if word != "larger than"])
def test_a_daemon_starts_over_what_is_in_its_run_directory(
    tmp_path: Path, word: str, heartbeat: str, loaded: Callable[..., Settings]
) -> None:
    """A daemon without supervisord survives plants as lock, pid file, heartbeat and log.

    It is the one instance, and writes heartbeats.
    """
    run, log = tmp_path / "run", tmp_path / "log"
    settings = loaded(f"[app]\nstate_dir = {tmp_path}/state\nrun_dir = {run}\nlog_dir = {log}\n")
    run.mkdir()
    if heartbeat == "directory":
        PLANTS[word](run / "heartbeats")
    names = ["beat.lock", "beat.pid", "beat.pid.new"] + (
        ["heartbeats/beat.json", "heartbeats/beat.json.new"] if heartbeat == "file" else []
    )
    for place in [*(run / name for name in names), log / "beat.log"]:
        place.parent.mkdir(parents=True, exist_ok=True)
        # an operator's link, which stays
        if place.suffix != ".log" or word not in (
            "symbolic link",
            "device",
        ):
            PLANTS[word](place)
    done = run_to_end([sys.executable, "-c", DAEMON, str(settings.directory)], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[] ready\n"
    told = (log / "beat.log").read_text(encoding="utf-8")
    assert '"event":"started"' in told
    for target in tmp_path.rglob("*.target"):
        assert target.read_bytes() == b"" or target.name == "beat.log.target"


@pytest.mark.parametrize("word", PLANTS)
def test_an_exchange_that_is_no_file_is_declared_again(
    tmp_path: Path, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What stands there is moved away, and the log says what it was.

    Messages are routed as the settings say.
    """
    topology = Topology(
        tmp_path, [Table("warren", "topic", (Binding("a.*", "a"), Binding("b", "b")))]
    )
    topology.open()
    topology.declare_queue("a", temporary=False)
    PLANTS[word](tmp_path / "exchanges" / "warren")
    assert topology.route("warren", "a.x") == ["a"]
    assert topology.route("warren", "b") == []  # nobody has declared that queue yet
    assert word in caplog.text
    assert len(list(tmp_path.glob("exchange-warren.moved-away-*"))) == 1
