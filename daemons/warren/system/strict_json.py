"""JSON of files that another process may have replaced: what is read is small enough to be worked with."""

from __future__ import annotations

import json
import math
from typing import Any

#: Objects and lists within one another; the deepest honest file has five.
DEEPEST = 32
#: Numbers that are larger than this, or smaller than its negative, are refused: 64 bits, as the times in ns have.
LARGEST = 2**63


def loads(text: str | bytes) -> Any:
    """Return what the text says. Raises ValueError, also for what Python's own reader takes and nobody can work with.

    That is NaN and infinity, numbers beyond 64 bits, and nesting that later ends in a RecursionError.
    """
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    brackets = text.count("{") + text.count("[") if isinstance(text, str) else text.count(b"{") + text.count(b"[")
    if brackets > DEEPEST and depth(value) > DEEPEST:
        raise ValueError("it is nested too deeply")
    return value


def depth(value: object) -> int:
    """Return how many objects and lists stand within one another in what JSON said; without recursion."""
    found, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        found += 1
        level = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
    return found


def _refuse(word: str) -> float:
    raise ValueError(f"expected a number, found {word}")


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError("expected a number that a computer can hold, found a larger one")
    return number


def _whole(word: str) -> int:
    if len(word) > len(str(-LARGEST)) or abs(int(word)) > LARGEST:
        raise ValueError("expected a number of 64 bits, found a larger one")
    return int(word)
