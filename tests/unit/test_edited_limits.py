"""The checker of calls under edited terms: it finds a call too many, and only that."""

from __future__ import annotations

from support.edited_limits import Limits, Seen, judge


def at(*stamps: float, asked_before: float = 0.0) -> list[Seen]:
    """Calls that were asked for so many seconds before the provider saw them."""
    return [Seen(stamp, stamp - asked_before) for stamp in stamps]


def test_as_many_as_the_limit_in_any_window() -> None:
    """Half-open: a call may come one window after another."""
    found = judge(at(0, 1, 2, 10, 11, 12), [Limits(3, 10.0, -1)])
    assert (found.calls, found.judged, found.over, found.fullest) == (6, 6, [], 1.0)


def test_one_too_many() -> None:
    """Anywhere, not at the edge of a fixed window alone."""
    assert judge(at(0, 5, 6, 9, 10.5), [Limits(3, 10.0, -1)]).over == [(9, 4, 3), (10.5, 4, 3)]


def test_calls_of_earlier_limits_count() -> None:
    """A window that became longer counts earlier calls.

    The first call after the edit is one too many.
    """
    limits = [Limits(5, 1.0, -1, until=3.0), Limits(5, 10.0, 3.0)]
    assert judge(at(0, 0.1, 0.2, 0.3, 0.4, 1.5, 1.6), limits).over == []
    assert judge(at(0, 0.1, 0.2, 0.3, 0.4, 1.5, 1.6, 4.0), limits).over == [(4.0, 8, 5)]


def test_a_call_that_was_let_through_before_an_edit_may_arrive_after_it() -> None:
    """Asked for under the terms of before, it is judged by either."""
    limits = [Limits(2, 10.0, -1, until=3.0), Limits(1, 10.0, 2.5)]
    late = [Seen(1.0, 1.0), Seen(5.0, 2.9)]
    assert judge(late, limits).over == []
    assert judge([Seen(1.0, 1.0), Seen(5.0, 3.1)], limits).over == [(5.0, 2, 1)]


def test_limits_that_nobody_took_up_allow_nothing() -> None:
    """A call outside of all spans is a fault of the record."""
    assert judge(at(1.0), [Limits(5, 1.0, 2.0)]).over == [(1.0, 0, 0)]
