"""`warren logs`: what it is asked, and what it says where there is nothing to show."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from warren.cli import main
from warren.errors import ExitCode

Written = Callable[..., Path]


def line(time: datetime, event: str) -> str:
    stamp = time.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f'{{"timestamp":"{stamp}","event":"{event}"}}\n'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Logs with a line of two hours ago and one of a minute ago."""
    now = datetime.now(UTC)
    text = line(now - timedelta(hours=2), "old") + line(now - timedelta(minutes=1), "new")
    (tmp_path / "worker.log").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "events"),
    [
        ([], ["old", "new"]),
        (["--since", "1h"], ["new"]),
        (["--until", "1h"], ["old"]),
        (["--since", "3h", "--until", "1h"], ["old"]),
        (["--since", "2000-01-31"], ["old", "new"]),
        (["--until", "2000-01-31T10:00:00+02:00"], []),
        (["-n", "1"], ["new"]),
    ],
)
def test_times_and_numbers(
    directory: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    arguments: list[str],
    events: list[str],
) -> None:
    """Durations count back from now, times stand as they are, and -n keeps the last."""
    assert main(["logs", "--dir", str(directory), *arguments]) == 0
    said = capsysbinary.readouterr()
    assert [text.split(b'"event":"')[1][:3].decode() for text in said.out.splitlines()] == events
    assert said.err.decode() == ("" if events else f"no matching lines in {directory}\n")


def test_logs_of_several_hosts(directory: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Directories that were copied from other hosts are merged by time."""
    other = directory / "other"
    other.mkdir()
    (other / "worker.log").write_text(
        line(datetime.now(UTC) - timedelta(hours=1), "mid"), encoding="utf-8"
    )
    assert main(["logs", "--dir", str(directory), "--dir", str(other)]) == 0
    assert [
        text.split(b'"event":"')[1][:3] for text in capsysbinary.readouterr().out.splitlines()
    ] == [b"old", b"mid", b"new"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--task", "abc"],
            "expected the id of a task, or at least its first 8 characters, found 'abc'",
        ),
        (
            ["--since", "yesterday"],
            (
                "expected a duration such as 10m, or a time such as 2026-01-31T10:00:00Z, found "
                "'yesterday'"
            ),
        ),
        (["--level", "loud"], "loud"),
    ],
)
def test_what_cannot_be_asked(
    directory: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """A wrong value is refused with what was expected."""
    assert main(["logs", "--dir", str(directory), *arguments]) == ExitCode.USAGE
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--follow"], ["-n", "3"]])
def test_a_mistyped_daemon(
    etc: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    """An unknown daemon ends with 2 and names the known ones and the nearest.

    The command waits for no line of it.
    """
    dirs = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    (tmp_path / "log").mkdir()
    config = etc(f"[app]\n{dirs}[worker:crawl]\n")
    assert (
        main(["--config", str(config), "logs", "--daemon", "worker-crwl", *more]) == ExitCode.USAGE
    )
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "expected one of worker, beat, quota-watchdog, web, supervisord, worker-crawl, found "
        "'worker-crwl'" in said
    )
    assert said.endswith("did you mean worker-crawl?")


def test_a_daemon_without_a_line(
    directory: Path, etc: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that is known, or that only the logs know, is never refused."""
    programs = {
        "at": 0,
        "pid": 1,
        "start": 1,
        "state": "running",
        "programs": [
            {
                "program": "relay",
                "state": "RUNNING",
                "pid": 2,
                "since": 0,
                "condition": "running",
                "condition_since": 0,
                "ready": True,
                "backing_off": False,
            }
        ],
    }
    (tmp_path / "programs.json").write_text(json.dumps(programs), encoding="utf-8")
    dirs = f"[app]\nlog_dir = {directory}\nrun_dir = {tmp_path}\n"
    for arguments in ("beat", "relay", "worker-crawl"):
        assert (
            main(["--config", str(etc(dirs + "[worker:crawl]\n")), "logs", "--daemon", arguments])
            == 0
        )
        assert capsys.readouterr().err == f"no matching lines in {directory}\n"
    assert main(["logs", "--dir", str(directory), "--daemon", "worker-elsewhere"]) == 0
    (directory / "own.log").write_text(
        line(datetime.now(UTC), "own").replace("}", ',"daemon":"mine"}'), encoding="utf-8"
    )
    assert main(["logs", "--dir", str(directory), "--daemon", "mine"]) == 0
    assert main(["logs", "--dir", str(directory), "--daemon", "mien"]) == ExitCode.USAGE


def test_what_is_no_line_is_said_on_stderr(
    directory: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The output stays JSON; where something else stood is said beside it."""
    with (directory / "worker.log").open("a", encoding="utf-8") as file:
        file.write("a print\n")
    assert main(["logs", "--dir", str(directory)]) == 0
    said = capsysbinary.readouterr()
    assert len(said.out.splitlines()) == 2
    assert said.err.decode() == (
        f"{directory}/worker.log: expected one JSON object a line, found 1 other line; left out\n"
    )


def test_a_directory_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 1, the directory, and what to do."""
    assert main(["logs", "--dir", str(tmp_path / "nowhere")]) == ExitCode.FAILURE
    assert capsys.readouterr().err.startswith(
        f"{tmp_path}/nowhere: the logs cannot be read: No such file"
    )


@pytest.mark.parametrize(
    "wrong", ["", "[worker:main]\nconcurrency = many\n", "[broker]\nurl_file = /etc/shadow/none\n"]
)
def test_the_logs_need_no_more_settings_than_their_directory(
    directory: Path, scratch: Path, capsysbinary: pytest.CaptureFixture[bytes], wrong: str
) -> None:
    """A secret that a member of the suite's group may not read, or a wrong line, hides no log."""
    (scratch / "warren.ini").write_text(f"[app]\nlog_dir = {directory}\n{wrong}", encoding="utf-8")
    assert main(["--config", str(scratch), "logs"]) == 0
    assert len(capsysbinary.readouterr().out.splitlines()) == 2
    assert main(["--config", str(scratch), "logs", "--daemon", "nobody"]) == ExitCode.USAGE
    assert b"expected one of worker, beat" in capsysbinary.readouterr().err
