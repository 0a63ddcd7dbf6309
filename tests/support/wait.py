"""Waiting on a condition, with a deadline: the only way in which a test lets time pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], within: float, what: str = "") -> T:
    """The first true value of `condition`; fails when there is none `within` so many seconds."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"expected {what or 'the condition'} within {within:g} s, found {value!r}")
        time.sleep(0.02)
