"""`warren watch`: what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from warren.cli import main
from warren.errors import ExitCode

Written = Callable[..., Path]


def watch(directory: Path, *arguments: str) -> int:
    """The exit code of `warren watch WORDS`."""
    try:
        return main(["--config", str(directory), "--host", "here", "watch", *arguments])
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("task", ["", "x" * 1025], ids=["empty", "long"])
def test_an_id_that_none_has(etc: Written, capsys: pytest.CaptureFixture[str], task: str) -> None:
    """No task has an empty id, or one of a thousand characters."""
    assert watch(etc(), task) == ExitCode.USAGE
    assert "expected an id of 1 to 1024 characters" in capsys.readouterr().err


def test_results_that_go_to_their_sender(etc: Written, capsys: pytest.CaptureFixture[str]) -> None:
    """With results on RabbitMQ nobody but the sender can read them, and that is said at once."""
    directory = etc("[broker]\nurl = amqp://localhost:1\n")
    assert watch(directory, "any") == ExitCode.UNAVAILABLE
    said = capsys.readouterr().err
    assert "results go to the process that has sent the task" in said
    assert "set it to a Redis" in said


@pytest.mark.parametrize("task", ["../../../etc/passwd", "a\x00b", "\x1b[31mred", "ü" * 500])
def test_a_hostile_id_is_one_that_nobody_knows(
    etc: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    """It reads no file but its own, and no control character reaches the terminal."""
    for name in ("state", "log", "run"):
        (tmp_path / name).mkdir()
    directories = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    code = watch(etc(f"[app]\n{directories}"), task, "--timeout", "1ms")
    assert code == ExitCode.FAILURE
    assert "\x1b" not in capsys.readouterr().err
