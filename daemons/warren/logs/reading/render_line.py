"""The text of a log line for people."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import click

from warren.logs.reading.selection import SHORT_ID
from warren.system.printable import printable

_COLOURS = {"debug": "bright_black", "warning": "yellow", "error": "red", "critical": "bright_red"}
#: Fields that have their own position in the text, or no use for a person who reads the lines of
#: one host.
_ELSEWHERE = frozenset(
    ("timestamp", "level", "event", "daemon", "program", "host", "pid", "message", "exception")
)
_IDS = ("task_id", "root_id")
#: Events whose message says everything.
_SPEECH = ("record", "supervisor_record")


def shown(fields: dict[str, Any], with_host: bool = False, width: int = 0) -> str:
    """Return the line as text: local time, level, origin, event or message, then the other fields.

    A traceback follows on the next lines. Colours are ANSI codes. width: characters of the
    terminal's line; no word is broken at its end. 0: no limit.
    """
    level = str(fields.get("level", ""))
    colour = colour_of(level)
    event, message = printable(str(fields.get("event", ""))), fields.get("message")
    parts = [
        click.style(local(str(fields.get("timestamp", ""))), dim=True),
        click.style(f"{printable(level):8}", fg=colour),
    ]
    parts.append(who(fields, with_host))
    if message is None or event not in _SPEECH:  # with a message alone the event adds nothing
        parts.append(click.style(event, fg=colour, bold=True))
    if message is not None:
        parts.append(printable(text_of(message)))
    parts += [
        _field(name, value, fields) for name, value in fields.items() if name not in _ELSEWHERE
    ]
    return wrapped(" ".join(part for part in parts if part), width) + traceback_of(fields)


def traceback_of(fields: dict[str, Any]) -> str:
    """Return the text below a line: its traceback, or nothing."""
    if "exception" not in fields:
        return ""
    colour = colour_of(str(fields.get("level", "")))
    below = text_of(fields["exception"]).split("\n")
    return "".join(f"\n    {click.style(printable(text), fg=colour)}" for text in below)


def colour_of(level: str) -> str | None:
    """Return the colour of a level; None for most lines."""
    return _COLOURS.get(level)


def local(timestamp: str) -> str:
    """Return the time of a line in the reader's time zone: month, day, and the time in seconds."""
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return printable(timestamp[:23])


def wrapped(line: str, width: int) -> str:
    """Return the line as several lines, broken between words.

    Only a word that is itself longer than `width` exceeds the width.
    """
    if not width or len(click.unstyle(line)) <= width:
        return line
    lines, length = [""], 0
    for number, word in enumerate(line.split(" ")):
        longer = length + len(click.unstyle(word)) + (number > 0)
        if length and longer > width:
            lines.append(f"    {word}")
            length = 4 + len(click.unstyle(word))
        else:
            lines[-1] += f" {word}" if number else word
            length = longer
    return "\n".join(lines)


def who(fields: dict[str, Any], with_host: bool) -> str:
    """Return who wrote the line."""
    daemon, program = str(fields.get("daemon", "")), str(fields.get("program", ""))
    # A line of supervisord names the program that the line is about.
    who = f"{daemon}: {program}" if daemon == "supervisord" != program else program or daemon
    return printable(f"{fields.get('host')} {who}" if with_host else who)


def _field(name: str, value: Any, fields: dict[str, Any]) -> str:
    if name in _IDS:
        if name == "root_id" and value == fields.get("task_id"):
            return ""  # the line is of a task that only a caller has started
        value = str(value)[:SHORT_ID]
    return f"{click.style(printable(name), fg='cyan')}={printable(text_of(value))}"


def text_of(value: Any) -> str:
    """Return a text unchanged, and any other value as JSON.

    The result may hold control characters.
    """
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply)"
