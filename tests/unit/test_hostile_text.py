"""Made-up text of a task, a daemon or a provider reaches a terminal only as plain text."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from warren.cli import main, program_rows
from warren.cli.wait_for_result import outcome, show
from warren.control import reload_request
from warren.control.supervisord_client import Program
from warren.errors import Unavailable, WarrenError
from warren.logs.journal_line import journal_line
from warren.status.heartbeat import HeartbeatWriter
from warren.status.suite_report import Outcome
from warren.supervise.status.sd_notify import clean
from warren.system.process import current_process

Written = Callable[..., Path]

#: A title, a cleared screen, a C1 escape, a turned direction, ends of lines, rich's markup, half a
#: character.
HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e\u2066\u2028\r[link=http://evil]x[/link][/nothing][red]\ud800"


def checked(text: str) -> str:
    """Return the text, in which nothing steers a terminal.

    rich's own colours are not written where there is no terminal.
    """
    for line in text.split("\n"):
        assert line.replace("\t", "").isprintable(), repr(line)
    return text


@pytest.fixture
def config(etc: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a command on a host where each file of the run directory says something hostile."""
    run, me, at = tmp_path / "run", current_process(), time.clock_gettime(time.CLOCK_BOOTTIME)
    details = {
        "queues": [HOSTILE],
        "paused": [HOSTILE],
        "running": 1,
        HOSTILE: HOSTILE,
        "x": {HOSTILE: [HOSTILE]},
    }
    HeartbeatWriter(run, "worker-a").write(HOSTILE, **details)
    HeartbeatWriter(run, "beat").write("ready", **details)
    entry = {
        "state": HOSTILE,
        "pid": me.pid,
        "since": 0.0,
        "condition": HOSTILE,
        "condition_since": 0.0,
        "ready": False,
        "backing_off": True,
        "restarts": 0,
        "last_error": HOSTILE,
    }
    listed = [entry | {"program": name} for name in ("worker-a", "beat", "quota-watchdog", HOSTILE)]
    for named in listed[:3]:
        named["state"] = "RUNNING"
    said = {
        "at": at,
        "pid": me.pid,
        "start": me.start,
        "state": "running",
        "status": HOSTILE,
        "reloads": [],
    }
    (run / "programs.json").write_text(json.dumps(said | {"programs": listed}))
    queue = {"messages": 12, "growth_per_s": 1.0, "empty_in_s": None, "level": 2}
    broker_status = {
        "at": at,
        "broker": {"kind": HOSTILE, "reachable": True, "reason": "", "alarms": [HOSTILE]},
        "queues": {HOSTILE: queue},
        "quotas": {HOSTILE: {"error": HOSTILE}},
    }
    (run / "broker.json").write_text(json.dumps(broker_status))
    found = [
        Program("worker-a", "RUNNING", me.pid, HOSTILE, None),
        Program("beat", "RUNNING", me.pid, HOSTILE, None),
        Program(HOSTILE, HOSTILE, me.pid, HOSTILE, None),
    ]
    monkeypatch.setattr(program_rows, "programs", lambda _: found)
    monkeypatch.setenv("COLUMNS", "80")
    directories = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    return ["--config", str(etc(f"[app]\n{directories}"))]


@pytest.mark.parametrize(
    "verb",
    [["status"], ["status", "--json"], ["health"], ["health", "broker"], ["health", "--json"]],
)
def test_looking_commands(
    config: list[str], verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that shows the run directory's files ends cleanly and shows them as text."""
    with pytest.raises(SystemExit) as end:
        main([*config, *verb])
    assert end.value.code in (1, 2)
    captured = capsys.readouterr()
    shown = checked(captured.out)
    assert captured.err == ""
    assert "[link=http://evil]" in shown or "worker-a" in shown or "broker" in shown
    if "--json" in verb:
        json.loads(shown)


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_reload(
    config: list[str],
    as_json: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The problems that a suite has reported are text."""
    monkeypatch.setattr(reload_request, "reload", lambda *_: Outcome(0.0, "failed", [HOSTILE], 1))
    main([*config, "reload", *as_json])
    captured = capsys.readouterr()
    checked(captured.out + captured.err)


def test_a_failure(
    config: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So are the words of an error that somebody else has made, and a traceback."""
    for error in (WarrenError(HOSTILE), Unavailable(HOSTILE), RuntimeError(HOSTILE)):

        def fail(_: object, raised: Exception = error) -> list[Program]:
            raise raised

        monkeypatch.setattr(program_rows, "programs", fail)
        assert main([*config, "status"]) != 0
        assert "link=http://evil" in checked(capsys.readouterr().err)


@pytest.mark.parametrize("verb", ["check", "show-config", "status", "logs"])
def test_hostile_settings(etc: Written, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A value of an INI file may hold control characters.

    The user who wrote it may not be the user who reads it.
    """
    value = HOSTILE.replace("\ud800", "").replace("\r", "").replace("\u2028", "").replace("%", "")
    directory = etc(
        f"[app]\nmodules = {value}\nrun_dir = /nowhere/{value}\n[worker:{value}]\nqueues = "
        f"{value}\n[{value}]\n"
    )
    with suppress(SystemExit):
        main(["--config", str(directory), verb])
    captured = capsys.readouterr()
    assert captured.out + captured.err
    checked(captured.out + captured.err)


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_logs_on_a_terminal(
    tmp_path: Path,
    as_json: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A task may write any text into a log: on a terminal it is plain text.

    So is a name of a file.
    """
    stamp = "2026-11-21T10:28:26.123456Z"
    line = json.dumps(
        {
            "timestamp": stamp,
            "event": HOSTILE,
            HOSTILE: HOSTILE,
            "exception": HOSTILE,
            "message": HOSTILE,
        }
    )
    raw = f'{{"timestamp":"{stamp}","x":"{HOSTILE}"}}'.encode(errors="surrogatepass")
    (tmp_path / "x.log").write_bytes(line.encode() + b"\n" + raw.replace(b"\r", b"") + b"\n")
    os.mkfifo(tmp_path / "\x1b[2J.log")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    main(["logs", "--dir", str(tmp_path), *as_json])
    captured = capsys.readouterr()
    plain = (
        captured.out.replace("\x1b[2m", "")
        .replace("\x1b[1m", "")
        .replace("\x1b[36m", "")
        .replace("\x1b[0m", "")
    )
    assert captured.out.count("\n") >= 2
    checked(plain + captured.err)


def test_a_result(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a task returned, or raised, is text."""
    for result in (HOSTILE, {HOSTILE: [HOSTILE]}, ValueError(HOSTILE)):
        said = {
            "task_id": HOSTILE,
            "state": "SUCCESS",
            "result": outcome(Done(result), 1.0)[1]["result"],
        }
        for as_json in (True, False):
            show(said, as_json)
            checked(capsys.readouterr().out)


class Done:
    """A task that has ended."""

    state = "SUCCESS"

    def __init__(self, result: object) -> None:
        self.result = result

    def get(self, **_: Any) -> object:
        return self.result


def lines() -> Iterator[dict[str, object]]:
    yield {
        "event": HOSTILE,
        "level": HOSTILE,
        "program": HOSTILE,
        "daemon": "supervisord",
        HOSTILE: HOSTILE,
    }
    yield {"event": "record", "message": HOSTILE, "exception": HOSTILE, "level": "error"}
    yield {"event": "x", "a": [HOSTILE], "b": {HOSTILE: [HOSTILE]}, "c": None}


@pytest.mark.parametrize("line", list(lines()))
def test_the_journal(line: dict[str, object]) -> None:
    """A line of the journal is one line of text."""
    assert "\n" not in checked(journal_line(json.dumps(line)))


def test_status_of_systemd() -> None:
    """STATUS is one clean line; systemd takes a backslash for an escape."""
    assert "\n" not in checked(clean(HOSTILE))
