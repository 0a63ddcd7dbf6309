"""`warren status`: what it prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from warren.cli import main, status
from warren.cli.status import ProgramStatus
from warren.errors import ExitCode

Written = Callable[..., Path]


def test_wrong_configuration(etc: Written, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong file ends with 78 and its problems, and a line says what a running suite does meanwhile."""
    with pytest.raises(SystemExit) as end:
        main(["--config", str(etc("[log]\nlevel = loud")), "status"])
    assert end.value.code == ExitCode.CONFIG
    problem, line = capsys.readouterr().err.splitlines()
    assert "[log] level: expected one of" in problem
    assert line.startswith("a suite that already runs goes on with its old settings")


def test_tables_do_not_wrap(
    etc: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In 80 columns each fact of a program's heart stands on one line, however many queues a worker has."""
    queues = [f"provider-{number}" for number in range(30)]
    evidence = {"queues": queues, "paused": ["slow-provider"], "running": 2, "done": 123456}
    worker = ProgramStatus("worker-collect", "RUNNING", 4194304, "ready", 0.25, evidence)
    watchdog = ProgramStatus("quota-watchdog", "RUNNING", 4194303, "ready", 0.25, {"quotas": ["a"], "doing": None})
    monkeypatch.setattr(status, "program_status", lambda _: [worker, watchdog])
    monkeypatch.setenv("COLUMNS", "80")
    folders = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    with pytest.raises(SystemExit) as end:
        main(["--config", str(etc(f"[app]\n{folders}")), "status"])
    assert end.value.code == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line.split() for line in lines[:3]] == [
        ["program", "state", "pid", "heart", "age"],
        ["worker-collect", "RUNNING", "4194304", "ready", "0.2", "s"],
        ["quota-watchdog", "RUNNING", "4194303", "ready", "0.2", "s"],
    ]
    assert [" ".join(line.split()) for line in lines[3:9]] == [
        "program doing",
        "worker-collect queues provider-0, provider-1, provider-2, and 27 more",
        "paused slow-provider",
        "running 2",
        "done 123456",
        "quota-watchdog quotas a",
    ]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0: expected a broker that answers"),
        ("redis://secret77@127.0.0.1:1/0", "redis://***@127.0.0.1:1/0: expected a broker that answers"),
        ("redis://u:secret77@127.0.0.1:1/0", "redis://u:***@127.0.0.1:1/0: expected a broker that answers"),
    ],
)
def test_broker_that_does_not_answer(
    etc: Written, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, shown: str
) -> None:
    """A broker that is away ends with 69; it is named with one mask where a password was given, and no mask where none was."""
    monkeypatch.setattr(status, "program_status", lambda _: [])
    for words in (["status"], ["status", "--json"]):
        with pytest.raises(SystemExit) as end:
            main(["--config", str(etc(f"[broker]\nurl = {url}\n")), *words])
        assert end.value.code == ExitCode.UNAVAILABLE
        said = " ".join(capsys.readouterr().out.split())
        assert shown in said
        assert "secret77" not in said
