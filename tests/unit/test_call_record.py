"""The API's record, read back and added up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.demo.call_record import Call, Summary, line, read, summarise, worst_window


@given(stamps=st.lists(st.integers(0, 300), max_size=60), window=st.integers(0, 120))
def test_worst_window_agrees_with_trying_every_interval(stamps: list[int], window: int) -> None:
    """The worst window is the most calls over all intervals of its length, found by trying each."""
    tried = [sum(start <= stamp <= start + window for stamp in stamps) for start in range(-1, 301)]
    assert worst_window(stamps, window) == max(tried)


def test_a_record_reads_back_as_it_was_written() -> None:
    """What is written as lines is read as the same calls."""
    calls = [Call(1, "/documents/0", 200), Call(2, "/documents/\n", 404)]
    text = b"".join(line(call) for call in calls)
    assert text.count(b"\n") == 2
    assert read(text.splitlines()) == calls


def test_a_torn_line_of_a_record_is_not_read_as_a_call() -> None:
    """A record with a damaged line is refused, not added up as if it were whole."""
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        read([line(Call(1, "/documents/0", 200))[:-10]])


def test_the_summary_counts_refused_calls_and_leaves_strangers_out() -> None:
    """A refused call counts in its window; a call without the key is not counted."""
    second = 10**9
    calls = [
        Call(1 * second, "/documents/0", 401),
        Call(5 * second, "/documents/0", 200),
        Call(2 * second, "/documents/1", 404),
        Call(14 * second, "/documents/2", 429),
        Call(16 * second, "/documents/3", 200),
    ]
    assert summarise(calls, limit=2, window_ns=10 * second) == Summary(
        limit=2,
        window=10.0,
        calls=4,
        refused=1,
        unauthorised=1,
        worst_window=2,
        first=2.0,
        last=16.0,
    )


def test_the_summary_of_an_empty_record_has_no_first_call() -> None:
    """Before any call the figures are zero and the times unknown."""
    assert summarise([], 60, 10**10) == Summary(60, 10.0, 0, 0, 0, 0, None, None)
