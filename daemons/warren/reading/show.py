"""A log line as a person reads it."""

from __future__ import annotations

import json
from typing import Any

import click

from warren.printable import printable
from warren.reading.selection import SHORT_ID

_COLOURS = {"debug": "bright_black", "warning": "yellow", "error": "red", "critical": "bright_red"}
#: Shown in a place of their own, or of no use to a person who looks at one host's lines as they come.
_ELSEWHERE = frozenset(("timestamp", "level", "event", "daemon", "program", "host", "pid", "message", "exception"))
_IDS = ("task_id", "root_id")


def shown(fields: dict[str, Any], with_host: bool = False) -> str:
    """Time (UTC), level, who, event, message, then the other fields; a traceback below. Colours are ANSI codes."""
    level = str(fields.get("level", ""))
    colour = _COLOURS.get(level)
    time = printable(str(fields.get("timestamp", ""))[:23].replace("T", " "))
    words = [click.style(time, dim=True), click.style(f"{printable(level):8}", fg=colour), _who(fields, with_host)]
    words.append(click.style(printable(str(fields.get("event", ""))), fg=colour, bold=True))
    if "message" in fields:
        words.append(printable(_text(fields["message"])))
    words += [_field(name, value, fields) for name, value in fields.items() if name not in _ELSEWHERE]
    line = " ".join(word for word in words if word)
    if "exception" in fields:
        below = _text(fields["exception"]).split("\n")
        line += "".join(f"\n    {click.style(printable(text), fg=colour)}" for text in below)
    return line


def _who(fields: dict[str, Any], with_host: bool) -> str:
    daemon, program = str(fields.get("daemon", "")), str(fields.get("program", ""))
    # A line of supervisord names the program that it is about.
    who = f"{daemon}: {program}" if daemon == "supervisord" != program else program or daemon
    return printable(f"{fields.get('host')} {who}" if with_host else who)


def _field(name: str, value: Any, fields: dict[str, Any]) -> str:
    if name in _IDS:
        if name == "root_id" and value == fields.get("task_id"):
            return ""  # a task that nobody but a caller started
        value = str(value)[:SHORT_ID]
    return f"{click.style(printable(name), fg='cyan')}={printable(_text(value))}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
