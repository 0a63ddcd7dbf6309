"""One log line: any values in, one line of JSON text out, with no secret in it. Never raises."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from datetime import date, time
from uuid import UUID

#: Nesting past this is written as text: nobody reads it, and a value that contains itself must end somewhere.
DEPTH = 8

# A password in a URL ends at the last @ before a blank or the next URL: an unescaped @, / or quote inside it must not
# leave half of it readable. A port is no password.
_PASSWORD = re.compile(r"(://[^\s:/@]*:)(?!\d+[/?#])(?:(?!://)\S)+@")

# Valid in JSON, but half of a character, or the end of a line for some readers (str.splitlines among them).
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def mask(text: str) -> str:
    """`text` with the password of every URL replaced: amqp://user:***@host."""
    if "://" not in text or "@" not in text:
        return text
    return _PASSWORD.sub(r"\1***@", text)


def render(fields: Mapping[str, object]) -> str:
    """One JSON object as text, without a newline in or after it, that encodes to UTF-8.

    Values that JSON does not know become their text; so do NaN and infinity, which jq and others refuse.
    """
    try:
        line = _dump(fields)
    except (TypeError, ValueError, RecursionError):
        line = _dump(_plain(fields, DEPTH, ()))
    if "://" in line and "@" in line:  # rare: look again, string by string, so that no escape hides an end
        line = _dump(_masked(json.loads(line)))
    return line if line.isascii() else _UNSAFE.sub(_escape, line)


def safe_text(value: object) -> str:
    """The text of any object, even one whose `__repr__` raises."""
    try:
        if isinstance(value, (os.PathLike, UUID)):
            return str(value)
        return value.isoformat() if isinstance(value, (date, time)) else repr(value)
    except Exception as error:  # noqa: BLE001 - the object is anybody's, and the line must not be lost for it
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=safe_text)


def _plain(value: object, depth: int, within: tuple[int, ...]) -> object:
    """A copy of `value` of plain JSON types; `within` holds the ids of the containers around it."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if id(value) in within:
        return "<itself>"
    inner = (*within, id(value))
    if isinstance(value, Mapping) and depth:
        return {_key(key): _plain(item, depth - 1, inner) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and depth:
        return [_plain(item, depth - 1, inner) for item in value]
    return safe_text(value)


def _key(key: object) -> str:
    return str(key) if isinstance(key, (str, int)) else safe_text(key)


def _masked(value: object) -> object:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask(key): _masked(item) for key, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list) else value


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    # Half a pair has no meaning to any reader: it is shown as text. The others keep their value behind an escape.
    return f"\\\\u{code:04x}" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"
