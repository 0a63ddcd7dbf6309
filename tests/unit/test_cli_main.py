"""How `warren` ends: its exit codes, and what it says."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from support.wait import run_to_end
from warren.cli import VERBS, main, warren
from warren.errors import ExitCode, Unavailable

Written = Callable[..., Path]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Makes every verb a command that raises the error."""

    def use(error: Exception) -> None:
        @click.command()
        def command() -> None:
            raise error

        monkeypatch.setattr(type(warren), "get_command", lambda *_: command)

    return use


def test_a_traceback_is_masked(
    failing: Callable[[Exception], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """An unforeseen error ends with 70 and a traceback without the password of any URL."""
    failing(ValueError("cannot use redis://secret77@host or amqp://u:secret77@host"))
    assert main(["check"]) == ExitCode.SOFTWARE
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "ValueError: cannot use redis://***@host or amqp://u:***@host" in said
    assert "secret77" not in said.replace(
        'ValueError("cannot use redis://secret77@host or amqp://u:secret77@host")', ""
    )


def test_a_message_is_masked(
    failing: Callable[[Exception], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A foreseen failure shows no password, and the one mask that is used everywhere."""
    failing(Unavailable("redis://:**@host and redis://secret77@host"))
    assert main(["check"]) == ExitCode.UNAVAILABLE
    assert capsys.readouterr().err == "redis://:***@host and redis://***@host\n"


def test_a_wrong_option_is_masked(
    failing: Callable[[Exception], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A word of the command line that is no good is told without the secret that it may hold."""
    failing(click.UsageError("expected a URL, found 'redis://secret77@host'"))
    assert main(["check"]) == ExitCode.USAGE
    assert "expected a URL, found 'redis://***@host'" in capsys.readouterr().err


def test_a_mistyped_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """A verb that does not exist ends with 2 and the one that was meant."""
    assert main(["chek"]) == ExitCode.USAGE
    assert "expected a verb, found 'chek'; did you mean check?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "DIR", "--host", "web", "show-config", "--json"],
        ["show-config", "--config", "DIR", "--host", "web", "--json"],
        ["show-config", "--json", "--host=web", "--config=DIR"],
        ["--host", "db", "show-config", "--config", "DIR", "--json", "--host", "web"],
    ],
)
def test_global_options_stand_on_either_side_of_the_verb(
    etc: Written, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """They mean the same before the verb and behind it; the last one counts."""
    directory = str(etc())
    assert main([word.replace("DIR", directory) for word in arguments]) == 0
    said = capsys.readouterr().out
    assert main(["--config", directory, "--host", "web", "show-config", "--json"]) == 0
    assert said == capsys.readouterr().out
    assert said != ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--config"], "expected a value behind --config, found none"),
        (["check", "--json", "--host"], "expected a value behind --host, found none"),
        (["check", "--", "--host", "web"], "unexpected extra arguments (--host web)"),
    ],
)
def test_a_global_option_without_its_value(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """It is refused by its name; and what stands behind `--` is no option."""
    assert main(arguments) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_help_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """The list of verbs has each with its whole first sentence, within 80 columns."""
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "..." not in said.partition("Commands:")[2]
    assert all(f"\n  {verb} " in said for verb in VERBS)
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["show-config", "show-config --json", "check", "--help"])
def test_no_room_for_the_output(etc: Written, arguments: str, unbuffered: str) -> None:
    """Output that cannot be written ends with 73 and one line."""
    command = f"{sys.executable} -m warren --config {etc()} {arguments} > /dev/full"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = run_to_end(["/bin/bash", "-c", command], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (73, "no room to write: No space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", ["check", "show-config --json", "--help", "logs"])
def test_closed_streams_change_nothing(etc: Written, arguments: str, closed: str) -> None:
    """A command whose output is closed ends as ever, and no file takes the place of a stream."""
    command = f"{sys.executable} -m warren --config {etc('')} {arguments}"
    ends = [
        run_to_end(["sh", "-c", f"{command} {how}"], env=os.environ, capture_output=True)
        for how in ("", closed)
    ]
    assert ends[0].returncode == ends[1].returncode
    assert "Traceback" not in ends[1].stdout + ends[1].stderr


def test_one_way_to_reload_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Help, guide and shipped files tell no reader to send a signal.

    `warren reload` checks first and reports the outcome.
    """
    for verb in VERBS:
        assert main([*verb.split(), "--help"]) == 0
    said = capsys.readouterr().out
    root = Path(__file__).parents[2]
    for name in ("etc/warren/warren.ini", "docs/configuration.md"):
        said += (root / name).read_text(encoding="utf-8")
    assert "kill -HUP" not in said
    assert said.count("warren reload") >= 4


def test_a_suite_that_does_not_run(
    etc: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever asks a suite that does not run reads how to start it."""
    assert (
        main(["--config", str(etc(f"[app]\nrun_dir = {tmp_path}/run\n")), "status"])
        == ExitCode.UNAVAILABLE
    )
    assert capsys.readouterr().err.startswith(
        "the suite is not running; start it: warren start, or without systemd warren supervise ("
    )
