"""Figures that tests measure.

The test notes them, and they are printed after the run, each beside its target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

#: What was measured, how much (a float is seconds), and what was to be reached.
Figure = Callable[[str, object, str], None]


def noting(record: Callable[[str, object], None]) -> Figure:
    """A `Figure` that keeps them with the test's report."""

    def note(what: str, measured: object, wanted: str) -> None:
        said = f"{measured:.1f} s" if isinstance(measured, float) else str(measured)
        record("figure", f"{what}: {said} ({wanted})")

    return note


def lines(properties: Iterable[tuple[str, object]]) -> list[str]:
    """One line a figure, from the properties of all reports."""
    return sorted(str(value) for name, value in properties if name == "figure")
