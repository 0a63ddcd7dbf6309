"""`warren health`: the judgement of each thing in the files, and the line that reports it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from support.broker_status import QUOTA_STATUS
from support.disk import fill, small_disk
from support.suite import ENVIRONMENT
from support.wait import run_to_end
from warren.cli import main
from warren.health.broker_findings import tendency
from warren.health.finding import CHECKS, Finding, Level, span
from warren.health.observation import Disk, Snapshot, look
from warren.health.report import LONGEST, judge, line, worst
from warren.status import broker_file, status_file
from warren.status.broker_report import BrokerReading, QueueStatus
from warren.status.condition import Condition
from warren.status.heartbeat import Heartbeat, Heartbeats, HeartbeatWriter, read
from warren.status.status_file import record
from warren.status.suite_report import ProgramStatus, Reading, Report
from warren.system.process import Process, current_process

NOW = 10_000.0
STOPPED = "the suite is not running; start it: warren start, or without systemd warren supervise"
PROGRAMS = ("worker-main", "beat", "quota-watchdog")


def program(name: str, **other: Any) -> dict[str, Any]:
    """An entry of programs.json, of a program that has run for a long time."""
    said = {
        "program": name,
        "state": "RUNNING",
        "pid": 7,
        "since": 100.0,
        "condition": "ready",
        "condition_since": 100.0,
        "ready": True,
        "backing_off": False,
        "restarts": 0,
        "last_error": "",
    }
    return said | other


def status(name: str, **other: Any) -> ProgramStatus:
    """The same as its readers get it."""
    said = program(name, **other)
    condition = Condition.of(said["condition"])
    return ProgramStatus(**said | {"condition": condition, "ready": condition.ready})


def heartbeat(name: str, **other: Any) -> Heartbeat:
    """A heartbeat that has just beaten."""
    return replace(Heartbeat(name, Process(7, 1), NOW - 0.5, 100.0, "ready", {}), **other)


def broker_status(**other: Any) -> dict[str, Any]:
    """A broker.json without trouble."""
    queue = {"messages": 12, "growth_per_s": -0.07, "empty_in_s": 171.0, "level": 0}
    broker = {"kind": "rabbitmq", "reachable": True, "reason": "", "alarms": []}
    said = {
        "at": NOW - 3,
        "broker": broker,
        "queues": {"default": queue},
        "quotas": {"provider": QUOTA_STATUS},
    }
    return said | {"disk": {"warning": 10.0, "critical": 5.0}} | other


def broker_reading(**other: Any) -> BrokerReading:
    """The same as its readers get it, at NOW."""
    said = broker_status(**other)
    with TemporaryDirectory() as directory:
        broker_file.write(Path(directory), said.pop("at"), said)
        found = broker_file.read(Path(directory))
    assert found.report is not None, found.last_error
    return replace(found, age=NOW - broker_status(**other)["at"])


def reading(programs: list[ProgramStatus], state: str = "running", **other: Any) -> Reading:
    """What a supervisord has reported that is alive."""
    report = Report(Process(5, 1), state, "", programs)
    return replace(Reading(report, alive=True, silence=1.0), **other)


def snapshot(
    programs: dict[str, dict[str, Any]] | None = None,
    changed: dict[str, dict[str, Any]] | None = None,
    broker_changes: dict[str, Any] | None = None,
    state: str = "running",
    **other: Any,
) -> Snapshot:
    """A suite that is well, but for what is named."""
    listed = [status(name, **(programs or {}).get(name, {})) for name in PROGRAMS]
    heartbeats = {name: heartbeat(name, **(changed or {}).get(name, {})) for name in PROGRAMS}
    disks = tuple(Disk(Path(f"/{name}"), 0.8, 0.9) for name in ("state", "log", "run"))
    whole = Snapshot(
        NOW,
        reading(listed, state),
        broker_reading(**(broker_changes or {})),
        heartbeats,
        disks,
    )
    return replace(whole, **other)


def test_a_suite_that_is_well() -> None:
    """Everything is said in one line, in the order of the checks."""
    found = judge(snapshot())
    assert worst(found) == Level.OK
    assert line(found) == (
        "OK: supervisord running; worker-main ready; beat ready; quota-watchdog ready; broker "
        "rabbitmq answers; "
        "default 12 messages, empty in 3 min; quota provider 40 of 60 left; disk 80 % free"
    )
    assert {finding.check for finding in found} == set(CHECKS) - {"web"}


def test_a_daemon_that_is_off_by_default() -> None:
    """It is reported where it runs, or where only its check was asked for."""
    assert line(judge(snapshot(), ["web"])) == "OK: web is not enabled on this host"
    programs = reading([*(status(name) for name in PROGRAMS), status("web")], "running")
    assert "web ready" in line(judge(replace(snapshot(), programs=programs)))


QUOTA = {"window_s": 10.0, "open": 0, "cooling": 0}
QUEUE = {"messages": 12, "growth_per_s": 0.0, "empty_in_s": None, "level": 0}
AWAY = {
    "kind": "redis",
    "reachable": False,
    "reason": "the broker does not answer: refused (redis://h)",
    "alarms": [],
}
ALARM = {"kind": "rabbitmq", "reachable": True, "reason": "", "alarms": ["low on disk"]}
NONE = reading([])


@pytest.mark.parametrize(
    ("seen", "check", "level", "text"),
    [
        (snapshot(state="starting"), "supervisord", 1, "the suite is starting"),
        (snapshot(state="reloading"), "supervisord", 0, "supervisord reloading"),
        (snapshot(state="stopping"), "supervisord", 1, "the suite is stopping"),
        (
            replace(snapshot(), programs=reading([], alive=False)),
            "supervisord",
            2,
            f"{STOPPED}: supervisord, process 5, has ended",
        ),
        (
            replace(snapshot(), programs=reading([], silence=16.0)),
            "supervisord",
            2,
            "supervisord hangs: it has reported nothing for 16 s",
        ),
        (
            snapshot(programs={"worker-main": {"state": "EXITED", "condition": "ended"}}),
            "worker",
            2,
            "worker-main has ended",
        ),
        (
            snapshot(
                programs={
                    "worker-main": {
                        "state": "FATAL",
                        "condition": "ended",
                        "last_error": "spawn error",
                    }
                }
            ),
            "worker",
            2,
            "worker-main has ended: spawn error",
        ),
        (
            snapshot(
                programs={
                    "beat": {
                        "backing_off": True,
                        "condition": "backing off",
                        "state": "BACKOFF",
                        "last_error": "5 ends in a minute",
                    }
                }
            ),
            "beat",
            2,
            "beat is backing off: 5 ends in a minute",
        ),
        (
            snapshot(programs={"beat": {"condition": "starting", "condition_since": NOW - 3}}),
            "beat",
            1,
            "beat is starting, for 3 s",
        ),
        (
            snapshot(programs={"beat": {"condition": "stopping", "condition_since": NOW - 300}}),
            "beat",
            2,
            "beat is stopping, for 5 min",
        ),
        (snapshot(programs={"beat": {"condition": "standby"}}), "beat", 0, "beat standby"),
        (
            snapshot(
                programs={"worker-main": {"condition": "silent", "condition_since": NOW - 34}}
            ),
            "worker",
            2,
            "worker-main hangs: silent for 34 s",
        ),
        (
            snapshot(
                programs={
                    "worker-main": {"condition": "no heartbeat yet", "condition_since": NOW - 2}
                }
            ),
            "worker",
            1,
            "worker-main has no heartbeat yet, for 2 s",
        ),
        (
            snapshot(programs={"beat": {"condition": "no heartbeat yet"}}),
            "beat",
            2,
            "beat has no heartbeat yet, for 3 h",
        ),
        (
            snapshot(
                programs={"worker-main": {"condition": "connecting", "condition_since": NOW - 20}}
            ),
            "worker",
            1,
            "worker-main is connecting, for 20 s",
        ),
        (
            snapshot(
                programs={"worker-main": {"condition": "connecting", "condition_since": NOW - 90}}
            ),
            "worker",
            2,
            "worker-main is connecting, for 90 s",
        ),
        (
            snapshot(changed={"worker-main": {"details": {"storing_s": 59}}}),
            "worker",
            0,
            "worker-main ready",
        ),
        (
            snapshot(changed={"worker-main": {"details": {"storing_s": 90}}}),
            "worker",
            1,
            (
                "worker-main cannot store results, for 90 s: free space under the state directory, "
                "or have Redis take writes"
            ),
        ),
        (
            snapshot(
                programs={"beat": {"condition": "unreadable heartbeat", "last_error": "no JSON"}}
            ),
            "beat",
            2,
            "beat has an unreadable heartbeat: no JSON",
        ),
        (
            snapshot(programs={"beat": {"condition": "restarting", "last_error": "SIGKILL"}}),
            "beat",
            2,
            "beat is restarting: SIGKILL",
        ),
        (snapshot(programs={"beat": {"condition": "stopped"}}), "beat", 2, "beat is stopped"),
        (
            # A report of another version.
            snapshot(programs={"beat": {"condition": "dancing"}}),
            "beat",
            2,
            "beat is unknown",
        ),
        (snapshot(), "quota-watchdog", 0, "quota-watchdog ready"),
        (
            replace(snapshot(), programs=NONE),
            "beat",
            0,
            "beat is not enabled on this host",
        ),
        (
            replace(snapshot(), programs=NONE),
            "queues",
            0,
            "queues not watched: quota-watchdog is not enabled on this host",
        ),
        (
            snapshot(broker_changes={"broker": AWAY}),
            "broker",
            2,
            "broker away: refused (redis://h)",
        ),
        (
            snapshot(broker_changes={"broker": AWAY}),
            "queues",
            1,
            "queues unknown: the broker is away",
        ),
        (snapshot(broker_changes={"broker": ALARM}), "broker", 2, "broker alarm: low on disk"),
        (
            snapshot(broker_changes={"results": {"reachable": False, "reason": "refused"}}),
            "broker",
            2,
            "results away: refused",
        ),
        (
            snapshot(broker_changes={"queues": {"default": QUEUE}}),
            "queues",
            0,
            "default 12 messages",
        ),
        (
            snapshot(
                broker_changes={
                    "queues": {"default": QUEUE | {"growth_per_s": 4.0, "messages": 1, "level": 1}}
                }
            ),
            "queues",
            1,
            "default 1 message, +4/s",
        ),
        (
            snapshot(broker_changes={"queues": {"a": QUEUE, "b": QUEUE | {"messages": 99}}}),
            "queues",
            0,
            "b 99 messages, a 12 messages",
        ),
        (
            snapshot(broker_changes={"queues": {"a": QUEUE | {"messages": None}}}),
            "queues",
            0,
            "a unknown",
        ),
        (
            snapshot(
                broker_changes={
                    "queues": {},
                    "rejected": {"messages": 10_000, "level": 1, "full": True},
                }
            ),
            "queues",
            1,
            "10000 rejected messages, which nobody could run, and the oldest are dropped",
        ),
        (snapshot(broker_changes={"quotas": {}}), "quotas", 0, "no quotas"),
        (
            snapshot(broker_changes={"quotas": {"a": {"error": "it is damaged"}}}),
            "quotas",
            2,
            "quota a: it is damaged",
        ),
        (
            snapshot(
                broker_changes={
                    "quotas": {
                        "a": QUOTA | {"free": 0, "limit": 60, "level": 1, "next_free_s": 700.0}
                    }
                }
            ),
            "quotas",
            1,
            "quota a 0 of 60 left, the next in 12 min",
        ),
        (
            snapshot(
                broker_changes={
                    "quotas": {"a": QUOTA | {"free": 0, "limit": 1000, "next_free_s": None}}
                }
            ),
            "quotas",
            0,
            "quota a 0 of 1000 left, the next when a call ends",
        ),
        (
            snapshot(broker_changes={"at": NOW - 40}),
            "broker",
            2,
            "broker unknown: the last broker status is 40 s old",
        ),
        (
            snapshot(
                broker_status=BrokerReading(None, "/run/broker.json: nothing"),
                programs={"quota-watchdog": {"since": NOW - 3}},
            ),
            "broker",
            1,
            "broker unknown: /run/broker.json: nothing",
        ),
        (
            snapshot(disks=(Disk(Path("/log"), 0.08), Disk(Path("/state"), 0.5))),
            "disk",
            1,
            "disk of /log 8 % free",
        ),
        (
            snapshot(disks=(Disk(Path("/log"), 0.9, 0.01),)),
            "disk",
            2,
            "disk of /log 1 % of its inodes free",
        ),
        (
            snapshot(disks=(Disk(Path("/log"), None, None, "no such directory"),)),
            "disk",
            2,
            "disk of /log: no such directory",
        ),
        (
            snapshot(broker_changes={"disk": {"warning": 90.0, "critical": 85.0}}),
            "disk",
            2,
            "disk of /state 80 % free",
        ),
    ],
)
def test_the_judgement(seen: Snapshot, check: str, level: int, text: str) -> None:
    """Each thing that the files can say has its level and its words."""
    assert judge(seen, [check])[0] == Finding(check, Level(level), text)


def test_what_is_behind_all_is_said_once() -> None:
    """A suite that is not running is one finding, not one for each check.

    The disk is still looked at.
    """
    found = judge(replace(snapshot(), programs=reading([], alive=False)))
    assert [finding.check for finding in found] == ["supervisord", "disk"]


def test_the_worst_comes_first() -> None:
    """The line begins with the worst level and names the level of the rest.

    What is well is left out.
    """
    found = judge(
        snapshot(
            programs={"beat": {"condition": "silent", "condition_since": NOW - 34}},
            disks=(Disk(Path("/log"), 0.08),),
            state="starting",
        )
    )
    assert line(found) == (
        "CRITICAL: beat hangs: silent for 34 s; warning: the suite is starting; warning: disk "
        "of /log 8 % free"
    )


@pytest.mark.parametrize("text", ["word " * 5, "ä" * 400, "x" * 4000, "two\nlines"])
def test_the_line_is_short(text: str) -> None:
    """The line has at most 512 bytes and no line end.

    It says when there is more to say.
    """
    said = line([Finding("queues", Level.WARNING, f"{number} {text}") for number in range(100)])
    assert len(said.encode()) <= LONGEST
    assert "\n" not in said
    assert said.endswith("more")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (99.0, "99 s"),
        (100.0, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    """A time is said in the unit in which people think of it."""
    assert span(seconds) == text


def test_the_files_of_a_run_directory(tmp_path: Path) -> None:
    """What daemons write there is what is judged; what cannot be read is said by name."""
    run = tmp_path / "run"
    me, now = current_process(), time.clock_gettime(time.CLOCK_BOOTTIME)
    HeartbeatWriter(run, "beat").write("ready")
    listed = [program("beat", pid=me.pid, since=now)]
    said = {"at": now, "pid": me.pid, "start": me.start, "state": "running", "programs": listed}
    (run / "programs.json").write_text(json.dumps(said))
    (run / "broker.json").write_text("no JSON")
    seen = look(run, (tmp_path, tmp_path / "gone"))
    assert line(judge(seen, ["supervisord", "worker", "beat"])) == (
        "OK: supervisord running; worker is not enabled on this host; beat ready"
    )
    assert seen.broker_status.last_error == f"{run}/broker.json: expected JSON, found other text"
    (finding,) = judge(seen, ["disk"])
    assert finding.text == f"disk of {tmp_path}/gone: No such file or directory"


def test_a_run_directory_that_is_forbidden(tmp_path: Path) -> None:
    """Who may not read the run directory hears so, and sees no traceback."""
    HeartbeatWriter(tmp_path / "run", "beat").write("ready")
    tmp_path.chmod(0o700)
    root = os.geteuid() == 0
    (tmp_path / "run").chmod(0)
    try:
        if root:
            os.seteuid(65534)
        seen, heartbeats = look(tmp_path / "run", ()), read(tmp_path / "run", ["beat"])
    finally:
        if root:
            os.seteuid(0)
        (tmp_path / "run").chmod(0o700)
    assert heartbeats == Heartbeats(
        {}, {"beat": f"{tmp_path}/run/heartbeats/beat.json: Permission denied"}
    )
    assert seen.programs.last_error == f"{tmp_path}/run/programs.json: Permission denied"


def test_a_heartbeat_that_is_only_touched(tmp_path: Path) -> None:
    """On a full disk a daemon touches its heartbeat instead of writing it.

    It counts as working, unless the wall clock was set since.
    """
    HeartbeatWriter(tmp_path, "beat").write("ready")
    path = tmp_path / "heartbeats" / "beat.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(said | {"at": said["at"] - 30}), encoding="utf-8")
    assert read(tmp_path, ["beat"]).by_program["beat"].age < 20
    for moved in (-60, 3600):
        os.utime(path, (time.time() + moved, time.time() + moved))
        assert 25 < read(tmp_path, ["beat"]).by_program["beat"].age < 50


GARBAGE: tuple[Any, ...] = (None, True, 7, 1e300, "x", [], {}, [7], {"x": 7}, [[]], {"x": {}})


@pytest.mark.parametrize("file", ["programs", "broker"])
def test_a_file_that_says_something_else(tmp_path: Path, file: str) -> None:
    """Whatever stands in the place of any value, in any file, is no traceback.

    What is needed and missing is located.
    """
    now, me = time.clock_gettime(time.CLOCK_BOOTTIME), current_process()
    listed = [program(name, since=now, pid=me.pid) for name in PROGRAMS]
    said: dict[str, Any] = {
        "at": now,
        "pid": me.pid,
        "start": me.start,
        "state": "running",
        "programs": listed,
    }
    files = {"programs": said, "broker": broker_status(at=now)}
    for name in PROGRAMS:
        HeartbeatWriter(tmp_path, name).write("ready")
    for wrong in varied(files[file]):
        for name, whole in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(wrong if name == file else whole))
        seen = look(tmp_path, ())
        assert line(judge(seen))
        last_error = seen.programs.last_error or seen.broker_status.last_error
        assert not last_error or last_error.startswith(f"{tmp_path}/{file}.json: ")
        if last_error:
            assert last_error in line(judge(seen, ["broker"]))
            # one that has just started has none yet
            assert worst(judge(seen)) == Level.CRITICAL or file == "broker"


def varied(value: Any) -> Iterator[Any]:
    """Yield the value with garbage in the place of each of its parts, one at a time.

    Yield it also without each of them.
    """
    yield from GARBAGE
    if isinstance(value, dict):
        for key, part in value.items():
            yield {name: other for name, other in value.items() if name != key}
            yield from (value | {key: wrong} for wrong in varied(part))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from ([*value[:number], wrong, *value[number + 1 :]] for wrong in varied(part))


def test_the_place_of_what_is_wrong_is_named(tmp_path: Path) -> None:
    """Who reads it knows what to look for in which file."""
    said = {
        "at": 1.0,
        "pid": 5,
        "start": 1,
        "state": "running",
        "programs": [program("beat", since="x")],
    }
    (tmp_path / "programs.json").write_text(json.dumps(said))
    text = (
        f"nothing is known of the suite: {tmp_path}/programs.json: programs.0.since: expected a "
        "number, found text"
    )
    assert judge(look(tmp_path, ()), ["worker"]) == [Finding("worker", Level.CRITICAL, text)]


def test_a_full_run_directory(tmp_path: Path) -> None:
    """A supervisord that cannot write its status file touches it.

    It is not taken for one that hangs.
    """
    run, me = tmp_path / "run", current_process()
    with small_disk(run, "1m"):
        said = {"pid": me.pid, "start": me.start, "state": "running", "programs": []}
        status_file.write(run / "programs.json", {"at": status_file.now() - 60, **said})
        os.utime(run / "programs.json", (time.time() - 60, time.time() - 60))
        assert "supervisord hangs" in line(judge(look(run, ())))
        fill(run)
        with pytest.raises(OSError, match="No space"):
            status_file.write(run / "programs.json", {"at": status_file.now(), **said})
        assert line(judge(look(run, ()))) == f"CRITICAL: disk of {run} 0 % free"


def test_a_stopped_suite_has_no_disk_under_its_run_directory(tmp_path: Path) -> None:
    """systemd takes the run directory away: what to do is said, and nothing of a disk."""
    assert line(judge(look(tmp_path / "run", (tmp_path,)))) == (
        f"CRITICAL: {STOPPED}: {tmp_path}/run/programs.json: No such file or directory"
    )


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stopped suite ends the verb with 2, as a line or as JSON.

    This holds also where other parts of the INI are wrong.
    """
    (tmp_path / "warren.ini").write_text(
        f"[app]\nrun_dir = {tmp_path}/run\n[nonsense]\na = b\n", encoding="utf-8"
    )
    for arguments in (["health", "worker"], ["health", "worker", "--json"]):
        with pytest.raises(SystemExit) as end:
            main(["--config", str(tmp_path), *arguments])
        assert end.value.code == 2
    text = f"{STOPPED}: {tmp_path}/run/programs.json: No such file or directory"
    said, parsed = capsys.readouterr().out.splitlines()
    assert said == f"CRITICAL: {text}"
    finding = {"check": "worker", "level": "critical", "text": text}
    assert json.loads(parsed) == {"level": "critical", "findings": [finding]}


def test_settings_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the named settings cannot be read nothing is known.

    The suite of the machine's own settings is another one.
    """
    with pytest.raises(SystemExit) as end:
        main(["--config", str(tmp_path / "typo"), "health"])
    assert end.value.code == 2
    said = (
        f"CRITICAL: {tmp_path}/typo: expected a directory with the file warren.ini, found nothing "
        "there; "
    )
    assert capsys.readouterr().out == f"{said}name it with --config or WARREN_CONFIG\n"


def test_it_is_cheap() -> None:
    """The verb loads none of the libraries that would make it too dear to be asked each cycle."""
    heavy = ("pydantic", "celery", "kombu", "rich", "structlog", "supervisor", "importlib.metadata")
    code = (
        "import sys; sys.argv = ['warren', 'health']; from warren.cli import main\n"
        f"try: main()\nfinally: print(sorted(set({heavy}) & set(sys.modules)), 'click' in "
        "sys.modules)"
    )
    done = run_to_end([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True)
    assert done.stdout.splitlines()[-1] == "[] True"


@pytest.mark.parametrize(
    ("queue", "text"),
    [
        ({"growth_per_s": 2.3, "recent_per_s": -1.0, "empty_in_s": 30.0}, "empty in 30 s"),
        ({"growth_per_s": 2.3, "recent_per_s": 2.0}, "+2.3/s"),
        ({"growth_per_s": -2.3, "recent_per_s": 2.0}, "+2/s"),
        ({"growth_per_s": 2.3}, "+2.3/s"),
        ({"quota_empty_in_s": 14400.0}, "empty in 4 h at its quota"),
        (
            {"growth_per_s": -1.0, "empty_in_s": 30.0, "quota_empty_in_s": 14400.0},
            "empty in 4 h at its quota",
        ),
        ({"growth_per_s": -1.0, "empty_in_s": 30.0, "quota_empty_in_s": 3.0}, "empty in 30 s"),
        ({"growth_per_s": 2.0, "quota_empty_in_s": 14400.0}, "+2/s, 4 h at its quota"),
        ({"messages": 0, "quota_empty_in_s": 14400.0}, ""),
        ({"quota_empty_in_s": None}, ""),
    ],
)
def test_where_a_queue_goes(queue: dict[str, Any], text: str) -> None:
    """What it does now says the direction; a quota says how long it takes at least."""
    assert tendency(record(QueueStatus, QUEUE | queue)) == text
