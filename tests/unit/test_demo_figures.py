"""The figures of a run: what they say of it, and what they cannot flatter."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.runs import GOOD
from warren.demo.limiter import SlidingWindow
from warren.demo.quickstart import figures


@given(
    limit=st.integers(1, 9),
    window=st.integers(1, 30),
    steps=st.lists(st.integers(0, 20), min_size=1, max_size=200),
)
def test_nobody_uses_more_than_all_of_the_allowance(
    limit: int, window: int, steps: list[int]
) -> None:
    """Whatever a limiter admits, its use comes out at 100 % or less: the figure cannot flatter."""
    limiter, now, admitted = SlidingWindow(limit, window), 0, []
    for step in steps:
        now += step
        if limiter.admit(now).admitted:
            admitted.append(now)
    assert len(admitted) <= figures.allowed(limit, window, admitted[-1] - admitted[0])


def test_a_full_burst_in_every_window_is_full_use() -> None:
    """300 calls in 40 s under 60/10s are all that was allowed, in 50 s they are not."""
    assert GOOD.use == 1.0
    assert replace(GOOD, duration=50.0).use == pytest.approx(300 / 360)


@pytest.mark.parametrize(("calls", "seconds"), [(1, 0), (60, 0), (61, 10), (300, 40), (301, 50)])
def test_the_shortest_time_counts_the_windows_after_the_first(calls: int, seconds: int) -> None:
    """The shortest possible time is one window for each burst after the first.

    A run is measured against it.
    """
    assert figures.shortest(calls, 60, 10.0) == seconds


def test_a_good_run_has_no_problems() -> None:
    """A run that kept every promise is not complained about."""
    assert figures.problems(GOOD) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("refused", 1),
        ("worst_window", 61),
        ("lost", 2),
        ("batch", [4, 8, 16]),
        ("batch", [8, 4, 16, 32]),
        ("ticks", 0),
    ],
)
def test_each_broken_promise_is_named(name: str, value: object) -> None:
    """A single figure that is not as promised is a problem, and its name begins the line."""
    found = figures.problems(replace(GOOD, **{name: value}))  # type: ignore[arg-type]  # one case per name
    assert [line.partition(":")[0] for line in found] == [name]


def test_the_figures_are_one_object_of_nine() -> None:
    """What a machine reads is one line with the names that the README gives."""
    assert json.loads(GOOD.as_json()) == {
        "documents": 300,
        "calls": 300,
        "refused": 0,
        "worst_window": 60,
        "limit": 60,
        "use": 1.0,
        "batch": [4, 8, 16, 32],
        "ticks": 1,
        "lost": 0,
    }


def test_a_tick_that_was_delivered_twice_counts_once() -> None:
    """Ticks are counted by their ids, and an unfinished line is left for the next look."""
    assert (
        figures.ticks(
            ['{"task_id": "a"}\n', '{"task_id": "b"}\n', '{"task_id": "a"}\n', '{"task_id": "c']
        )
        == 2
    )
