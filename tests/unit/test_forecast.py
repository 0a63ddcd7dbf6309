"""Where a queue's depth goes, and when that is worth a word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.watchdog.backlog import Backlog
from warren.watchdog.forecast import MEMORY, Forecast, Sample, forecast, remembered


def line(start: float, growth: float, count: int = 20, step: float = 5.0) -> list[Sample]:
    """Samples of a queue whose depth changes evenly."""
    return [
        (1000 + step * number, round(start + growth * step * number)) for number in range(count)
    ]


@pytest.mark.parametrize(
    ("samples", "growth", "empty_in"),
    [
        ([], 0.0, None),
        ([(0, 7)], 0.0, None),
        ([(0, 0)], 0.0, 0.0),
        ([(0, 7), (5, 6)], 0.0, None),  # too little to say where it goes
        (line(1000, 0), 0.0, None),
        (line(0, 4), 4.0, None),
        (line(1000, -2), -2.0, 405.0),
        (line(0, 0), 0.0, 0.0),
        ([(0, 500), (5, 200), (10, 0)], 0.0, 0.0),  # drained: what it was before is over
        ([(0, 500), (5, 0), (10, 50), (15, 100)], 10.0, None),
        ([(5, 1), (5, 2), (5, 3)], 0.0, None),  # three looks in one instant have no slope
    ],
)
def test_forecast(samples: list[Sample], growth: float, empty_in: float | None) -> None:
    """The growth is the slope of the line since the queue was last empty.

    A queue that drains has a time when it is empty.
    """
    found = forecast(samples)
    assert found.growth_per_s == pytest.approx(growth)
    assert found.empty_in_s == (None if empty_in is None else pytest.approx(empty_in))


@given(st.lists(st.tuples(st.floats(0, 300), st.integers(0, 10**7)), max_size=80))
def test_forecast_of_anything(samples: list[Sample]) -> None:
    """Whatever was seen: a queue that is said to become empty drains, and does so after now."""
    found = forecast(sorted(samples))
    assert found.empty_in_s is None or found.empty_in_s >= 0
    assert min(found.growth_per_s, found.recent_per_s) < 0 or found.empty_in_s in (None, 0.0)


@pytest.mark.parametrize(("steps", "drains"), [(3, True), (6, True), (20, True)])
def test_a_burst_that_is_over(steps: int, drains: bool) -> None:
    """Soon after a burst the queue is said to drain.

    The line through the last minutes still rises then.
    """
    quiet = [(float(at), 1) for at in range(0, 60, 5)]
    burst = [(60.0 + 5 * number, 300 - 10 * number) for number in range(steps + 4)]
    found = forecast([*quiet, *burst])
    assert found.growth_per_s > 0 or steps == 20
    assert found.recent_per_s == pytest.approx(-2) or steps == 3
    assert (found.empty_in_s is not None) == drains


def test_a_queue_that_begins_to_grow() -> None:
    """It is not said to become empty for what it did minutes ago."""
    drained = [(5.0 * number, 1000 - 10 * number) for number in range(30)]
    grows = [(150.0 + 5 * number, 710 + 10 * number) for number in range(8)]
    found = forecast([*drained, *grows])
    assert found.growth_per_s < 0 < found.recent_per_s
    assert found.empty_in_s is None


def test_what_is_long_ago_does_not_count() -> None:
    """Samples are forgotten after a few minutes."""
    assert remembered([(0, 1), (100, 2), (MEMORY + 1, 3)], MEMORY + 1) == [
        (100, 2),
        (MEMORY + 1, 3),
    ]


@pytest.mark.parametrize(
    ("growth", "seen_s", "expected"),
    [(10.0, 60.0, 90.0), (10.0, 59.0, None), (0.0, 100.0, None), (-1.0, 100.0, None)],
)
def test_when_a_depth_is_reached(growth: float, seen_s: float, expected: float | None) -> None:
    """A queue that has grown for a minute is foretold; a burst of a moment is not."""
    assert Forecast(growth, None, seen_s).reaches(1000, 100) == expected


def levels(depths: list[int], warning: int = 100, critical: int = 1000) -> list[int]:
    """The level after each look, five seconds apart."""
    backlog, found = Backlog(), []
    for number, depth in enumerate(depths):
        backlog = backlog.seen(5.0 * number, depth, warning, critical)
        found.append(backlog.level)
    return found


def test_levels_of_a_queue() -> None:
    """A level begins at its number and ends a tenth below it.

    A queue that swings around it is logged once.
    """
    assert levels([99, 100, 95, 101, 90, 89]) == [0, 1, 1, 1, 1, 0]
    assert levels([1000, 950, 899, 89]) == [2, 2, 1, 0]


def test_a_queue_that_will_be_full_is_a_warning() -> None:
    """A growth that reaches the critical number within an hour is a warning long before."""
    assert levels([10 * number for number in range(1, 30)], 10**6, 5000)[-1] == 1
    assert levels([10 * number for number in range(1, 30)], 10**6, 50_000)[-1] == 0
    # half a minute is too short to tell
    assert levels([10 * number for number in range(1, 8)], 10**6, 5000)[-1] == 0
