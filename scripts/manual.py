"""Write the man pages warren(1) and warren.ini(5) into the directory that the argument names.

The text comes from the help of the verbs, the exit codes and the declared options, so the pages
say what the command says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click

from warren.cli import VERBS, warren
from warren.config.option_types import kind
from warren.config.settings import KINDS
from warren.errors import ExitCode

FILES = (
    (
        "/etc/warren",
        "warren.ini, conf.d/*.ini and hosts/HOST.ini, read in this order; see warren.ini(5).",
    ),
    (
        "/etc/warren/secrets",
        "Files with URLs that hold passwords; nobody but the user warren may read them.",
    ),
    (
        "/var/log/warren",
        "One log a daemon, one JSON object a line; the group warren may read them.",
    ),
    (
        "/var/lib/warren",
        "Ledgers of the quotas, messages and results of the embedded broker, last ticks of beat.",
    ),
    ("/run/warren", "Locks, the socket of supervisord, the heartbeats of the daemons."),
    ("/usr/share/doc/warren", "The guides, and examples."),
)


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, lines in (("warren.1", command_page()), ("warren.ini.5", settings_page())):
        (directory / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def command_page() -> Iterator[str]:
    """Yield the lines of warren(1): the global options, every verb, exit codes, files."""
    yield from head("WARREN", 1, "warren \\- run a Celery processing queue in production")
    context = click.Context(warren, info_name="warren")
    yield from (".SH SYNOPSIS", ".B warren", roff(" ".join(warren.collect_usage_pieces(context))))
    yield from (".SH DESCRIPTION", *text(warren.help), ".SH OPTIONS", *options(warren, context))
    yield ".SH COMMANDS"
    for verb in VERBS:
        # `or warren` is for the types alone: VERBS has only verbs
        command = warren.get_command(context, verb) or warren
        inner = click.Context(command, info_name=verb, parent=context)
        usage = " ".join(["warren", verb, *command.collect_usage_pieces(inner)])
        yield from (f".SS {roff(usage)}", *text(command.help), *options(command, inner))
    yield ".SH EXIT STATUS"
    for code in ExitCode:
        yield from (".TP", f".B {int(code)}", roff(f"{code.meaning[0].upper()}{code.meaning[1:]}."))
    yield ".SH FILES"
    for path, meaning in FILES:
        yield from (".TP", f".I {roff(path)}", roff(meaning))
    yield from (".SH SEE ALSO", ".BR warren.ini (5),", ".BR systemctl (1),", ".BR logrotate (8)")


def settings_page() -> Iterator[str]:
    """Yield the lines of warren.ini(5): every section with its options."""
    yield from head("WARREN.INI", 5, "warren.ini \\- settings of Warren")
    yield ".SH SYNOPSIS"
    for name in ("warren.ini", "conf.d/*.ini", "hosts/HOST.ini"):
        yield from (f".I /etc/warren/{roff(name)}", ".br")
    yield ".SH DESCRIPTION"
    yield from text(
        "Files of sections and options, read in this order; of an option that is written more than "
        "once the last one counts. "
        "A line that begins with white space continues the value above it. An unknown section or "
        "option is an error.\n\n"
        "warren check finds every mistake; warren show-config shows where each value comes from; "
        "systemctl reload warren "
        "takes up an edit without losing a task."
    )
    yield ".SH SECTIONS"
    for section in KINDS:
        yield from (f".SS [{roff(section.title)}]", *text(section.model.__doc__))
        for option, field in section.model.model_fields.items():
            form = kind(field)
            value = (
                "required"
                if field.is_required()
                else f"default: {form.text(field.default) or 'empty'}"
            )
            yield from (
                ".TP",
                f'.BR {roff(option)} " (' + roff(f"{form.form}; {value}") + ')"',
                roff(field.description or ""),
            )
    yield from (
        ".SS [celery]",
        *text(
            "Any setting of Celery by its lower-case name, but for those that Warren decides "
            "itself."
        ),
    )
    yield from (".SH SEE ALSO", ".BR warren (1)")


def head(name: str, section: int, what: str) -> Iterator[str]:
    yield f'.TH {name} {section} "" "warren {version("warren")}" "Warren"'
    yield from (".SH NAME", what)


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the options that the command declares; all commands have --help."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)):
            yield from (".TP", f".B {roff(record[0])}", roff(" ".join(record[1].split())))


def text(help_text: str | None) -> Iterator[str]:
    """Yield the paragraphs of a help text; an example keeps its line."""
    for number, paragraph in enumerate((help_text or "").strip().split("\n\n")):
        if number:
            yield ".PP"
        words = " ".join(line.strip() for line in paragraph.replace("\b", "").splitlines())
        before, example, command = words.partition("Example: ")
        if example and not before:
            yield from ("Example:", ".PP", ".EX", f".in +4\n{roff(command)}\n.in", ".EE")
        else:
            yield roff(words)


def roff(words: str) -> str:
    """Return the words as text of roff: no request is in it, and a dash can be copied as a dash."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    main(Path(sys.argv[1]))
