"""What the waits of a run came to: which of its tests were near a deadline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from support.wait import Waited

#: The property of a test's report that holds one wait.
PROPERTY = "wait"
#: A wait is near its deadline from this share of it on.
NEAR = 0.5


def worth_noting(waits: Sequence[Waited]) -> list[Waited]:
    """The waits of one test that were near their deadline; the nearest one when none was."""
    near = [wait for wait in waits if wait.took >= NEAR * wait.within]
    return near or sorted(waits, key=_share)[-1:]


def lines(properties: Iterable[tuple[str, Any]], tests: int) -> list[str]:
    """Return the table at the end of a run of so many tests.

    It has each wait that was near its deadline, or one line when none was.

    The properties are pairs of a test and what `worth_noting` gave for it.
    """
    found = [(test, Waited(*wait)) for test, wait in properties]
    near = sorted(
        (each for each in found if each[1].took >= NEAR * each[1].within),
        key=lambda each: -_share(each[1]),
    )
    if near:
        return [f"{_share(wait):>4.0%}  {_said(test, wait)}" for test, wait in near]
    if not found:
        return [f"none of {tests} tests waited"]
    test, wait = max(found, key=lambda each: _share(each[1]))
    return [
        (
            f"none of {tests} tests came within half of a deadline; the nearest: "
            f"{_share(wait):.0%}  {_said(test, wait)}"
        )
    ]


def _share(wait: Waited) -> float:
    return wait.took / wait.within


def _said(test: str, wait: Waited) -> str:
    return f"{test}: {wait.took:.1f} s of {wait.within:g} s, {wait.what}"
