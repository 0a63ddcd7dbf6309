"""`warren status`: what it prints."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.broker_status import QUOTA_STATUS
from warren.cli import activity_text, main, status_verb
from warren.cli.program_rows import ProgramRow
from warren.errors import ExitCode
from warren.status.condition import Condition
from warren.system.process import current_process

READY = Condition.READY
Written = Callable[..., Path]


def test_wrong_configuration(etc: Written, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong file ends with 78 and its problems.

    A line says what a running suite does meanwhile.
    """
    with pytest.raises(SystemExit) as end:
        main(["--config", str(etc("[log]\nlevel = loud")), "status"])
    assert end.value.code == ExitCode.CONFIG
    problem, line = capsys.readouterr().err.splitlines()
    assert "[log] level: expected one of" in problem
    assert line.startswith("a suite that already runs continues with its old settings")


def test_tables_do_not_wrap(
    etc: Written,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In 80 columns a program has a few lines at most, however many queues a worker has.

    The suite as a whole stands above.
    """
    queues = [f"provider-{number}" for number in range(30)]
    details = {
        "queues": queues,
        "paused": ["slow-provider"],
        "running": 2,
        "concurrency": 4,
        "taken": 123459,
        "begun": 123456,
    }
    details |= {"rejected": 0, "storing_s": 130}
    worker = ProgramRow(
        "worker-collect", "RUNNING", 4194304, "ready", 0.25, details, condition=READY
    )
    away = ProgramRow(
        "worker-b", "RUNNING", 4194305, "connecting", 0.25, {}, condition=Condition.CONNECTING
    )
    heartbeat = ProgramRow(
        "beat",
        "RUNNING",
        4194306,
        "standby",
        0.25,
        {"leading": False, "entries": 2},
        condition=Condition.STANDBY,
    )
    away.details.update(rejected=3, storing_s=0)
    watchdog = ProgramRow(
        "quota-watchdog",
        "RUNNING",
        4194303,
        "ready",
        0.25,
        {"quotas": ["a"], "doing": None},
        condition=READY,
    )
    monkeypatch.setattr(
        status_verb, "program_status", lambda _: [worker, away, heartbeat, watchdog]
    )
    monkeypatch.setenv("COLUMNS", "80")
    directories = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    me, at = current_process(), time.clock_gettime(time.CLOCK_BOOTTIME)
    told = {
        "at": at,
        "pid": me.pid,
        "start": me.start,
        "state": "running",
        "programs": [],
        "reloads": [],
    }
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "programs.json").write_text(
        json.dumps(told | {"status": "running: 1 worker; not ready: worker-b"})
    )
    with pytest.raises(SystemExit):
        main(["--config", str(etc(f"[app]\n{directories}")), "--host", "alpha", "status"])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert re.fullmatch(r"alpha: Warren [\d.]+, running for \d+ (s|min|h)", lines[0])
    assert lines[1:12] == [
        "running: 1 worker; not ready: worker-b",
        "",
        "program         state       pid      work",
        "worker-collect  ready       4194304  running 2 of 4",
        "                                     received 123459, started 123456",
        "                                     queues: provider-0, provider-1, and 28 more",
        "                                     paused by a quota: slow-provider",
        "                                     cannot store results, for 2 min",
        "worker-b        connecting  4194305  messages rejected: 3",
        "beat            standby     4194306  leading no, schedule entries 2",
        "quota-watchdog  ready       4194303  quotas: a",
    ]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("condition", Condition)
def test_a_colour_says_whether_somebody_has_to_look(condition: Condition) -> None:
    """What works is green, what may pass by itself yellow, and the rest red."""
    passing = ("starting", "no heartbeat yet", "connecting", "stopping")
    colours = dict.fromkeys(passing, "yellow") | dict.fromkeys(
        ("ready", "standby", "running"), "green"
    )
    row = ProgramRow("beat", "RUNNING", 7, "", None, {}, condition=condition, ready=condition.ready)
    assert activity_text.colour(row) == colours.get(condition, "red")


def test_a_quota_whose_ledger_is_not_made_yet(
    etc: Written,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the first second of a new suite a quota has no ledger.

    The text says so, and shows no system error with its path.
    """
    monkeypatch.setattr(status_verb, "program_status", lambda _: [])
    directories = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    with pytest.raises(SystemExit):
        main(
            [
                "--config",
                str(etc(f"[app]\n{directories}[quota:api]\nlimit = 5/s\n")),
                "status",
                "--json",
            ]
        )
    (quota,) = json.loads(capsys.readouterr().out)["quotas"]
    assert quota["error"] == "no ledger yet: the first worker makes the ledger"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:1/0", "(redis://127.0.0.1:1/0)"),
        ("redis://secret77@127.0.0.1:1/0", "(redis://***@127.0.0.1:1/0)"),
        ("redis://u:secret77@127.0.0.1:1/0", "(redis://u:***@127.0.0.1:1/0)"),
    ],
)
def test_broker_that_does_not_answer(
    etc: Written,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    url: str,
    shown: str,
) -> None:
    """A broker that is away ends with 69.

    It is named with one mask where a password was given, and with none where none was.
    """
    monkeypatch.setattr(status_verb, "program_status", lambda _: [])
    for arguments in (["status"], ["status", "--json"]):
        with pytest.raises(SystemExit) as end:
            main(["--config", str(etc(f"[broker]\nurl = {url}\n")), *arguments])
        assert end.value.code == ExitCode.UNAVAILABLE
        said = " ".join(capsys.readouterr().out.split())
        assert shown in said
        assert "secret77" not in said


def broker_status_of(run: Path, **broker: object) -> None:
    """Writes a fresh broker.json."""
    queue = {"messages": 120, "growth_per_s": 2.5, "empty_in_s": None, "level": 0}
    said = {
        "at": time.clock_gettime(time.CLOCK_BOOTTIME),
        "broker": {"kind": "redis", "reachable": True, "reason": "", "alarms": [], **broker},
        "queues": {"default": queue},
        "removed_queues": {"old": 2},
        "rejected": {"messages": 1, "level": 1},
        "later": 20_000,
        "returning": 1,
        "rejected_keys": 2,
        "results": {"reachable": False, "reason": "out of memory"},
        "quotas": {"site": QUOTA_STATUS, "other": {"error": "it is damaged"}},
    }
    run.mkdir()
    (run / "broker.json").write_text(json.dumps(said), encoding="utf-8")


@pytest.fixture
def config(etc: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration whose broker nobody can ask, and whose one program is in trouble."""
    backing_off = ProgramRow(
        "worker-a",
        "BACKOFF",
        None,
        "",
        None,
        {},
        backing_off=True,
        last_error="ended with 70, 5 times in a minute",
        condition=Condition.BACKING_OFF,
    )
    monkeypatch.setattr(status_verb, "program_status", lambda _: [backing_off])
    monkeypatch.setenv("COLUMNS", "80")
    return str(etc(f"[app]\nrun_dir = {tmp_path}/run\n[broker]\nurl = redis://127.0.0.1:1/0\n"))


def test_a_fresh_broker_status_is_shown(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a broker status neither the broker nor a ledger is asked.

    Growth, alarms and last errors are shown.
    """
    broker_status_of(tmp_path / "run", alarms=["low on disk"])
    with pytest.raises(SystemExit) as end:
        main(["--config", config, "status"])
    assert end.value.code == ExitCode.FAILURE
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "worker-a is backing off: ended with 70, 5 times in a minute" in lines
    assert "default 120 +2.5/s" in lines
    assert "the broker takes no messages: low on disk" in lines
    assert "old: no section declares it any more, and it holds 2 messages" in lines
    assert "rejected: 1 message, which nobody could run" in lines
    assert "due later: 20000 messages" in lines
    assert "returning: 1 message, files of this host until RabbitMQ takes the messages" in lines
    assert "rejected: 2 of Redis' keys held garbage, kept in warren.rejected.KEY" in lines
    assert "site 60/10s 40 1 19 0.0 s" in lines
    assert "other: it is damaged" in lines
    assert "the server of the results takes no results: out of memory" in lines


def test_a_broker_status_as_json(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json the same is one object, which says how old it is.

    A broker that the broker status did not reach ends with 69.
    """
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    broker_status_of(tmp_path / "run", reachable=False, reason="it does not answer")
    with pytest.raises(SystemExit) as end:
        main(["--config", config, "status", "--json"])
    assert end.value.code == ExitCode.UNAVAILABLE
    said = json.loads(capsys.readouterr().out)
    assert (said["queues"], said["broker_error"], said["alarms"]) == ([], "it does not answer", [])
    assert said["results_error"] == "out of memory"
    assert said["quotas"][0] | {"free": 40, "limit": "60/10s"} == said["quotas"][0]
    # rounded
    assert (
        0 <= said["broker_status_age_s"] <= time.clock_gettime(time.CLOCK_BOOTTIME) - before + 0.1
    )
    assert (said["programs"][0]["backing_off"], said["ready"]) == (True, False)


def test_an_old_broker_status_is_not_believed(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the watchdog said long ago counts for nothing: the broker is asked."""
    broker_status_of(tmp_path / "run")
    path = tmp_path / "run" / "broker.json"
    path.write_text(
        json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"at": 0.0}), encoding="utf-8"
    )
    with pytest.raises(SystemExit):
        main(["--config", config, "status", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert "the broker does not answer: " in said["broker_error"]
    assert said["broker_status_age_s"] is None


def test_who_asks_makes_and_moves_nothing(
    etc: Written,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a broker status the embedded broker itself is looked at.

    No directory appears, no message of the dead is moved; what waits beside the queues is counted.
    """
    monkeypatch.setattr(status_verb, "program_status", lambda _: [])
    directories = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    arguments = ["--config", str(etc(f"[app]\n{directories}[queue:pages]\n")), "status", "--json"]
    broker = tmp_path / "state" / "broker"
    for name in ("", "unacked/x.1.1/pages", "queues/pages", "rejected", "temporary"):
        with pytest.raises(SystemExit):
            main(arguments)
        assert not name or not (broker / "incoming").exists()
        (broker / name).mkdir(parents=True)
    (broker / "unacked" / "x.1.1" / "pages" / "m.0").write_text("{}", encoding="utf-8")
    (broker / "later" / "pages").mkdir(parents=True)
    for name in (f"{10**19}.m.0", f"{10**19}.n.0", "somebody's"):
        (broker / "later" / "pages" / name).touch()
    (tmp_path / "state" / "returning" / "a").mkdir(parents=True)
    (tmp_path / "state" / "returning" / "a" / "1.json").touch()
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(arguments)
    assert sorted(tmp_path.rglob("*")) == before
    found = json.loads(capsys.readouterr().out)
    assert (found["later"], found["returning"], found["rejected_keys"]) == (2, 1, 0)
