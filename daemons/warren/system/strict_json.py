"""JSON of files that another process may have replaced: a value is refused when it is too large."""

from __future__ import annotations

import json
import math
from typing import Any

#: The deepest nesting of objects and lists; the deepest honest file has five levels.
DEEPEST = 32
#: The largest absolute value of a number: 64 bits, as times in ns have.
LARGEST = 2**63


def loads(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises ValueError, also for values that Python's own reader accepts and that no code can work
    with: NaN and infinity, numbers beyond 64 bits, and a nesting that later ends in a
    RecursionError.
    """
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    brackets = (
        text.count("{") + text.count("[")
        if isinstance(text, str)
        else text.count(b"{") + text.count(b"[")
    )
    if brackets > DEEPEST and depth(value) > DEEPEST:
        raise ValueError("it is nested too deeply")
    return value


def depth(value: object) -> int:
    """Return how deeply objects and lists are nested in a value, without recursion."""
    found, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        found += 1
        level = [
            part for each in level for part in (each.values() if isinstance(each, dict) else each)
        ]
    return found


def _refuse(text: str) -> float:
    raise ValueError(f"expected a number, found {text}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("expected a number that a computer can hold, found a larger number")
    return number


def _whole(text: str) -> int:
    if len(text) > len(str(-LARGEST)) or abs(int(text)) > LARGEST:
        raise ValueError("expected a number of 64 bits, found a larger number")
    return int(text)
