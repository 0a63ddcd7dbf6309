"""`warren reload`: what it prints when the new settings are not taken up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from warren.cli import main
from warren.config import load
from warren.control import reload_request, supervisord_client
from warren.errors import ExitCode, Unavailable
from warren.status.suite_report import Outcome

Written = Callable[..., Path]


def test_wrong_configuration(etc: Written, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong file ends with 78 and its problems.

    A line says what a running suite does meanwhile.
    """
    assert main(["--config", str(etc("[log]\nlevel = loud")), "reload"]) == ExitCode.CONFIG
    problem, line = capsys.readouterr().err.splitlines()
    assert "[log] level: expected one of" in problem
    assert line.startswith("a suite that already runs continues with its old settings")


def test_a_daemon_that_does_not_reach_the_broker(
    etc: Written,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The broker's reason stands beside the daemon's state, without the password."""
    broker = {
        "kind": "rabbitmq",
        "reachable": False,
        "reason": "refused (amqp://me:pw@b//); correct it",
        "alarms": [],
    }
    said = {
        "at": time.clock_gettime(time.CLOCK_BOOTTIME),
        "broker": broker,
        "queues": {},
        "quotas": {},
    }
    (tmp_path / "broker.json").write_text(json.dumps(said), encoding="utf-8")
    late = Outcome(0.0, "late", ["worker-a is not ready: it is connecting"], int(ExitCode.FAILURE))
    monkeypatch.setattr(reload_request, "reload", lambda *_: late)
    assert (
        main(["--config", str(etc(f"[app]\nrun_dir = {tmp_path}\n")), "reload"]) == ExitCode.FAILURE
    )
    assert capsys.readouterr().err.splitlines() == [
        "worker-a is not ready: it is connecting",
        "refused (amqp://me:***@b//); correct it",
        "the new settings are in force, but not every daemon works",
    ]


@pytest.mark.parametrize("asked", ["reload", "restart"])
def test_a_report_of_another_version_is_no_start_and_no_stop(
    etc: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """A suite that ran before its files were replaced reports in a shape of its own."""
    report = {"at": 1.0, "pid": 1, "start": 1, "state": "running", "programs": [{"program": "x"}]}
    (tmp_path / "programs.json").write_text(json.dumps(report), encoding="utf-8")
    settings = load(etc(f"[app]\nrun_dir = {tmp_path}\n"))
    monkeypatch.setattr(reload_request, "_TIMEOUT", 0.0)
    monkeypatch.setattr(reload_request, "holder", lambda _: 1)
    monkeypatch.setattr(reload_request, "handle_of", lambda _: (1, -1))
    monkeypatch.setattr(supervisord_client, "restart_workers", lambda *_: 1.0)
    acts: dict[str, Callable[[], object]] = {
        "reload": lambda: reload_request.reload(settings),
        "restart": lambda: reload_request.restart(settings, ["worker-main"], lambda _: None),
    }
    with pytest.raises(Unavailable, match=r"programs\.0\.state: expected text, found nothing"):
        acts[asked]()
