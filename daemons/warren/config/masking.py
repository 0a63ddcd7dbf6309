"""What may be shown of a value that may hold a secret."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"

_PASSWORD = re.compile(r"(://[^:@/;\s]*):[^\s;]+@")  # greedy: a password may hold '@' and '/'
_LONE_WORD = re.compile(r"(rediss?://)[^:;\s]+@", re.IGNORECASE)  # people forget the ':' before Redis' password
_SECRET_QUERY = re.compile(r"([?&][^=&\s]*(?:pass|secret|token|key)[^=&\s]*=)[^&;\s]+", re.IGNORECASE)
_SECRET_NAME = re.compile(r"pass(word|phrase|wd)?\b|secret|token|credential|(api|access|private|security|auth)_?key", re.I)


def masked_url(text: str) -> str:
    """Any text, such as a URL, a message or a traceback, without the passwords of the URLs in it."""
    text = _LONE_WORD.sub(rf"\1{MASK}@", _PASSWORD.sub(rf"\1:{MASK}@", text))
    return _SECRET_QUERY.sub(rf"\1{MASK}", text)


def masked(value: Any, name: str = "") -> Any:
    """A JSON-like value without passwords: in URLs, and under any name that speaks of a secret."""
    if value not in (None, "") and _SECRET_NAME.search(name) and not isinstance(value, dict | list | bool):
        return MASK
    if isinstance(value, dict):
        return {key: masked(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked(each, name) for each in value]
    return masked_url(value) if isinstance(value, str) else value
