"""Parsers and writers of values: durations, rates, sizes, numbers, booleans, lists, JSON.

Every parser is pure, takes the text of one option and raises `Unexpected`. Every writer returns a
text that its parser converts back to the same value.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")

#: Digits are limited, so that no long number reaches float() or int().
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d)", re.ASCII)
_RATE = re.compile(r"([0-9]{1,12}) ?/ ?([0-9]{0,9}) ?(s|m|h|d)", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,15}) ?([A-Za-z]{1,3})", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)

MOST_CALLS = 10_000_000
LONGEST = 366 * 86400.0


class Unexpected(ValueError):
    """A text that its option does not accept.

    Keeps the expected and the found part of the message apart, for `errors.Problem`.
    """

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


@dataclass(frozen=True)
class Rate:
    """At most `calls` calls in any window of `seconds` seconds."""

    calls: int
    seconds: float

    def __str__(self) -> str:
        window = duration_text(self.seconds)
        return f"{self.calls}/{window.removeprefix('1') if window[1:].isalpha() else window}"


def shown(text: str) -> str:
    """Return the text as a message quotes it: on one line, short, and without secrets.

    An empty text becomes `nothing`.
    """
    # Imported here: monitors call `warren health` each cycle, mostly on files without problems.
    from warren.redaction.masker import redact

    text = redact(text)  # before the cut: half of a URL would not show that it held a password
    return repr(text if len(text) <= 60 else text[:57] + "...") if text else "nothing"


def duration(text: str, minimum: float = 0.0, maximum: float = LONGEST) -> float:
    """Return seconds from "30s", "5m", "2h", "1d", "500ms" or "1.5h"; a bare 0 needs no unit."""
    found = _DURATION.fullmatch(text)
    if text != "0" and not found:
        raise Unexpected("a duration such as 30s, 5m or 2h (units ms, s, m, h, d)", shown(text))
    # Milliseconds are divided by 1000 instead of multiplied by 0.001: 50ms is 0.05, not
    # 0.050000000000000003.
    seconds = (
        0.0
        if not found
        else float(found[1]) / 1000
        if found[2] == "ms"
        else float(found[1]) * _SECONDS[found[2]]
    )
    if not minimum <= seconds <= maximum:
        raise Unexpected(
            f"a duration from {duration_text(minimum)} to {duration_text(maximum)}", shown(text)
        )
    return seconds


def duration_text(seconds: float) -> str:
    """Return the shortest text that `duration` reads as exactly these seconds."""
    if seconds == 0:
        return "0"
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    millis = round(seconds * 1000)
    if millis / 1000 == seconds:
        return f"{millis}ms"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def rate(text: str) -> Rate:
    """Return calls and window from "1000/h", "60/10s", "5/m" or "150/2h"."""
    found = _RATE.fullmatch(text)
    if not found:
        raise Unexpected("a rate such as 1000/h (units s, m, h, d)", shown(text))
    calls, seconds = int(found[1]), int(found[2] or 1) * _SECONDS[found[3]]
    if not 1 <= calls <= MOST_CALLS:
        raise Unexpected(f"a rate of 1 to {MOST_CALLS} calls", shown(text))
    if not 1 <= seconds <= LONGEST:
        raise Unexpected(f"a rate over a window from 1s to {duration_text(LONGEST)}", shown(text))
    return Rate(calls, seconds)


def size(text: str, minimum: int = 0, maximum: int = 10**24) -> int:
    """Return bytes from "200MB" (powers of 1000) or "200MiB" (powers of 1024).

    A bare 0 needs no unit.
    """
    found = _SIZE.fullmatch(text)
    factors = {unit.lower(): factor for unit, factor in _BYTES.items()}
    known = found and found[2].lower() in factors
    if not known and text != "0":
        raise Unexpected(f"a size such as 200MB (units {', '.join(_BYTES)})", shown(text))
    count = int(found[1]) * factors[found[2].lower()] if known and found else 0
    if not minimum <= count <= maximum:
        raise Unexpected(f"a size from {size_text(minimum)} to {size_text(maximum)}", shown(text))
    return count


def size_text(count: int) -> str:
    """Return the shortest text that `size` reads as exactly these bytes."""
    if count == 0:
        return "0"
    unit = max(
        (unit for unit, factor in _BYTES.items() if count % factor == 0), key=_BYTES.__getitem__
    )
    return f"{count // _BYTES[unit]}{unit}"


def boolean(text: str) -> bool:
    """Return True for true, yes, on, 1, and False for false, no, off, 0, in upper or lower case."""
    if text.lower() in _TRUE + _FALSE:
        return text.lower() in _TRUE
    raise Unexpected("true or false", shown(text))


def whole(text: str, minimum: int = 0, maximum: int = 10**9) -> int:
    """Return a whole number within the range, both ends included."""
    if _WHOLE.fullmatch(text) and minimum <= int(text) <= maximum:
        return int(text)
    raise Unexpected(f"a whole number from {minimum} to {maximum}", shown(text))


def items(text: str) -> tuple[str, ...]:
    """Return the entries of a list, separated by commas or line ends; drop empty entries."""
    found = tuple(
        entry for part in text.split("\n") for entry in map(str.strip, part.split(",")) if entry
    )
    for entry in found:
        if found.count(entry) > 1:
            raise Unexpected(
                "each entry of the list once", f"{shown(entry)} {found.count(entry)} times"
            )
    return found


def json_value(text: str, shape: type[list[Any]] | type[dict[str, Any]] | None = None) -> Any:
    """Return the value of a JSON text. Raises Unexpected also when it is not of the `shape` given.

    The message never quotes the text, because it may hold secrets.
    """
    expected = {list: 'a JSON list such as [1, "two"]', dict: 'a JSON object such as {"page": 1}'}
    wanted = expected.get(shape, "JSON") if shape else "JSON"
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise Unexpected(wanted, "JSON that is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Unexpected(wanted, f"an error at character {error.pos + 1} ({error.msg})") from None
    except ValueError as error:  # a number with thousands of digits, NaN, Infinity
        raise Unexpected(wanted, f"a value that JSON does not have ({str(error)[:60]})") from None
    if shape and not isinstance(value, shape):
        raise Unexpected(wanted, f"a JSON {_json_name(value)}")
    return value


def json_text(value: object) -> str:
    """Return the value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _json_name(value: object) -> str:
    names: dict[type, str] = {
        list: "list",
        dict: "object",
        str: "string",
        bool: "boolean",
        type(None): "null",
    }
    return names.get(type(value), "number")
