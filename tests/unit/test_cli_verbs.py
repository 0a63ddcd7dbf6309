"""What every verb has: an example that works, --json, hints after typing errors, exit codes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
import pytest

from warren.cli import VERBS, main, warren
from warren.cli.privileges import Verb
from warren.errors import ExitCode

Written = Callable[..., Path]

#: They show nothing: they are daemons, whose words are their log.
DAEMONS = {"supervise", "worker", "beat", "quota-watchdog", "web"}
#: Its codes are those that monitors know, and not those of the other verbs.
OWN_CODES = {"health"}
DOCS = Path(__file__).parents[2] / "docs"


def command_of(verb: str) -> click.Command:
    command: click.Command | None = warren
    for word in verb.split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    return command


def options_of(verb: str) -> list[str]:
    """The long options that a person may give."""
    shown = [
        each
        for each in command_of(verb).params
        if isinstance(each, click.Option) and not each.hidden
    ]
    return [name for option in shown for name in option.opts if name.startswith("--")]


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_can_be_typed(verb: str) -> None:
    """The help ends with an example of the verb itself, whose options and arguments it takes."""
    said = (command_of(verb).help or "").strip().splitlines()[-1].strip()
    example, line = said.partition(": ")[::2]
    assert example == "Example"
    arguments = shlex.split(re.split(r" (?:&&|\|) ", line)[0])
    assert arguments[0] == "warren"
    with warren.make_context("warren", arguments[1:]) as context:
        name, command, rest = warren.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        while isinstance(command, click.Group):
            with command.make_context(name, rest, parent=context) as inner:
                second, command, rest = command.resolve_command(
                    inner, [*inner._protected_args, *inner.args]
                )
                name = f"{name} {second}"
        assert name == verb
        assert command is not None
        with command.make_context(name, rest, parent=context):
            pass  # refuses what it does not know; nothing is run


@pytest.mark.parametrize("verb", VERBS)
def test_what_shows_something_shows_it_to_programs(verb: str) -> None:
    """Every verb has --json but the daemons."""
    assert ("--json" in options_of(verb)) is (verb not in DAEMONS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_mistyped_option(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An option with two letters exchanged ends with 2 and names the right one."""
    for option in options_of(verb):
        at = next(at for at in range(3, len(option)) if option[at] != option[at + 1])
        mistyped = f"{option[:at]}{option[at + 1]}{option[at]}{option[at + 2 :]}"
        assert main([*verb.split(), mistyped]) == ExitCode.USAGE
        assert f"'{option}'" in capsys.readouterr().err


@pytest.mark.parametrize("verb", sorted(set(VERBS) - OWN_CODES))
def test_the_codes_in_the_help_mean_what_they_mean_everywhere(verb: str) -> None:
    """A code that the help explains is one of the table of exit codes."""
    _, found, codes = " ".join((command_of(verb).help or "").split()).partition("Exit codes: ")
    named = {int(code) for code in re.findall(r"(?:^|[,.] )(\d+) ", codes.partition("Example:")[0])}
    assert bool(named) is bool(found)
    assert named <= {int(code) for code in ExitCode}


def test_the_table_of_exit_codes() -> None:
    """docs/commands.md has every code, with its name and meaning."""
    table = re.findall(
        r"^\| (\d+) \| ([A-Z]+) \| (.+) \|$",
        (DOCS / "commands.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert table == [(str(int(code)), code.name, code.meaning) for code in ExitCode]


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["health"],
        ["logs"],
        ["call", "shop.add"],
        ["check"],
        ["show-config"],
        ["worker", "b"],
        ["call", "shop.add", "--queue", "defalt"],
        *([*verb.split(), "--help"] for verb in VERBS),
    ],
    ids=" ".join,
)
def test_a_pipe_gets_no_colours(
    etc: Written,
    tmp_path: Path,
    arguments: list[str],
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Output that is no terminal gets text alone, on stdout and stderr.

    The terminal in which the command was called does not matter.
    """
    monkeypatch.setenv("TERM", "xterm-256color")
    names = {name: tmp_path / name for name in ("state", "log", "run")}
    for directory in names.values():
        directory.mkdir()
    line = (
        '{"timestamp":"2026-11-21T10:28:26.123456Z","level":"error",'
        '"event":"task_failed","daemon":"worker"}\n'
    )
    (names["log"] / "worker.log").write_text(line, encoding="utf-8")
    ini = "".join(f"{name}_dir = {directory}\n" for name, directory in names.items())
    with suppress(SystemExit):
        main(["--config", str(etc(f"[app]\n{ini}[worker:a]\n")), *arguments])
    said = capsysbinary.readouterr()
    assert said.out or said.err
    assert b"\x1b" not in said.out + said.err


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_goes_through_the_one_rule(verb: str) -> None:
    """As root each future verb, too, becomes the suite's user or only talks to systemd.

    See cli/privileges.py.
    """
    assert isinstance(command_of(verb), Verb)
