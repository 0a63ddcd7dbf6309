"""Values that are words: names, module paths, patterns, folders, time zones.

Pure but for the time zone, which the machine's own list decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from warren.config.units import Unexpected, items, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def nearest(word: str, known: Collection[str]) -> str:
    """The remedy for a name that is not known: the nearest one that is, or, of a short list, all of them."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(sorted(known))}" if 0 < len(known) <= 20 else ""


def name(text: str) -> str:
    """A name that is safe as part of a file name, a program name and a queue's name; at most 64 characters."""
    if _NAME.fullmatch(text):
        return text
    raise Unexpected("a name of letters, digits, '_', '-' and '.', beginning with a letter or digit", shown(text))


def names(text: str) -> tuple[str, ...]:
    """A list of such names."""
    return tuple(map(name, items(text)))


def modules(text: str) -> tuple[str, ...]:
    """A list of dotted Python module names."""
    for entry in items(text):
        if not _MODULE.fullmatch(entry):
            raise Unexpected("a list of modules such as shop.tasks, shop.mail", shown(entry))
    return items(text)


def patterns(text: str) -> tuple[str, ...]:
    """A list of task names or shell patterns (*, ?, [abc]) of them."""
    for entry in items(text):
        if not _is_task(entry):
            raise Unexpected("a list of task names such as shop.tasks.collect, shop.mail.*", shown(entry))
    return items(text)


def task(text: str) -> str:
    """The name of one task."""
    if _is_task(text):
        return text
    raise Unexpected("the name of a task such as shop.tasks.collect", shown(text))


def routing_key(text: str) -> str:
    """A key of at most 255 bytes, which is what AMQP allows; empty means the queue's own name."""
    if len(text.encode()) <= 255 and not any(character.isspace() for character in text):
        return text
    raise Unexpected("a routing key of at most 255 bytes without white space", shown(text))


def path(text: str) -> Path:
    """An absolute path. A relative one would mean another place for each daemon."""
    if text.startswith("/") and "\n" not in text:
        return Path(text)
    raise Unexpected("an absolute path such as /var/lib/warren", shown(text))


def zone(text: str) -> str:
    """A time zone by its IANA name."""
    if text == "UTC":  # known everywhere, also where no zone files are installed
        return text
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        hint = get_close_matches(text, available_timezones(), n=1)
        near = f", nearest known {hint[0]}" if hint else ""
        raise Unexpected("a time zone such as UTC or Europe/Berlin", f"{shown(text)}{near}") from None
    return text


def choice(text: str, known: tuple[str, ...]) -> str:
    """One of the known words, in any case."""
    if text.lower() in known:
        return text.lower()
    raise Unexpected(f"one of {', '.join(known)}", shown(text))


def _is_task(text: str) -> bool:
    return 0 < len(text) <= 255 and not any(character.isspace() for character in text)
