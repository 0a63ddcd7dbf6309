"""Parsers of values that are words: names, module names, patterns, paths, time zones.

All are pure except the time zone, which depends on the zones installed on this machine.
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
    """Return the remedy for an unknown name: the nearest known name or, if few are known, all."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(sorted(known))}" if 0 < len(known) <= 20 else ""


def name(text: str) -> str:
    """Return the name if it is safe in a file name, a program name and a queue name.

    A name has at most 64 characters. Raises Unexpected.
    """
    if _NAME.fullmatch(text):
        return text
    raise Unexpected(
        "a name of letters, digits, '_', '-' and '.', beginning with a letter or digit", shown(text)
    )


def entry_name(text: str) -> str:
    """Return the name of a schedule entry, which may be any text on one line. Raises Unexpected.

    Projects give their entries names such as "send the report". No file, program or queue is named
    after an entry.
    """
    if text.strip() == text and text.isprintable() and 0 < len(text) <= 200:
        return text
    raise Unexpected("a name of at most 200 printable characters", shown(text))


def names(text: str) -> tuple[str, ...]:
    """Return a list of such names. Raises Unexpected."""
    return tuple(map(name, items(text)))


def modules(text: str) -> tuple[str, ...]:
    """Return a list of dotted Python module names. Raises Unexpected."""
    for entry in items(text):
        if not _MODULE.fullmatch(entry):
            raise Unexpected("a list of modules such as shop.tasks, shop.mail", shown(entry))
    return items(text)


def app_name(text: str) -> str:
    """Return the name of an object in a module, such as shop.celery:app. Raises Unexpected."""
    module, _, path = text.partition(":")
    if _MODULE.fullmatch(module) and _MODULE.fullmatch(path):
        return text
    raise Unexpected("a module and the name of its Celery app such as shop.celery:app", shown(text))


def patterns(text: str) -> tuple[str, ...]:
    """Return a list of task names or of shell patterns (*, ?, [abc]). Raises Unexpected."""
    for entry in items(text):
        if not _is_task(entry):
            raise Unexpected(
                "a list of task names such as shop.tasks.collect, shop.mail.*", shown(entry)
            )
    return items(text)


def task(text: str) -> str:
    """Return the name of one task. Raises Unexpected."""
    if _is_task(text):
        return text
    raise Unexpected("the name of a task such as shop.tasks.collect", shown(text))


def routing_key(text: str) -> str:
    """Return a routing key of at most 255 bytes, AMQP's limit. Raises Unexpected.

    An empty key means the queue's own name.
    """
    if len(text.encode()) <= 255 and not any(character.isspace() for character in text):
        return text
    raise Unexpected("a routing key of at most 255 bytes without white space", shown(text))


def path(text: str) -> Path:
    """Return an absolute path. Raises Unexpected.

    A relative path would mean a different path for each daemon.
    """
    if text.startswith("/") and "\n" not in text:
        return Path(text)
    raise Unexpected("an absolute path such as /var/lib/warren", shown(text))


def zone(text: str) -> str:
    """Return the IANA name of a time zone that this machine knows. Raises Unexpected."""
    if text == "UTC":  # known everywhere, even where no zone files are installed
        return text
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        hint = get_close_matches(text, available_timezones(), n=1)
        near = f", nearest known {hint[0]}" if hint else ""
        raise Unexpected(
            "a time zone such as UTC or Europe/Berlin", f"{shown(text)}{near}"
        ) from None
    return text


def choice(text: str, known: tuple[str, ...]) -> str:
    """Return one of the known words, in lower case. Raises Unexpected.

    The text may have any case.
    """
    if text.lower() in known:
        return text.lower()
    raise Unexpected(f"one of {', '.join(known)}", shown(text))


def _is_task(text: str) -> bool:
    return 0 < len(text) <= 255 and not any(character.isspace() for character in text)
