"""The limiter of the demo's API: a true sliding window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from warren.demo.call_record import worst_window
from warren.demo.limiter import SlidingWindow

STEPS = st.lists(st.integers(0, 40), max_size=200)


@given(limit=st.integers(1, 8), window=st.integers(1, 60), steps=STEPS)
def test_no_interval_of_the_window_holds_more_than_the_limit(
    limit: int, window: int, steps: list[int]
) -> None:
    """Whatever the arrivals, no interval of the window's length has more calls than the limit."""
    limiter, now, admitted = SlidingWindow(limit, window), 0, []
    for step in steps:
        now += step
        if limiter.admit(now).admitted:
            admitted.append(now)
    assert worst_window(admitted, window) <= limit


@given(limit=st.integers(1, 8), window=st.integers(1, 60), steps=STEPS)
def test_a_call_is_refused_only_where_it_would_break_the_limit(
    limit: int, window: int, steps: list[int]
) -> None:
    """No call is refused that the limit allows: the limiter gives away nothing of the allowance."""
    limiter, now, admitted = SlidingWindow(limit, window), 0, []
    for step in steps:
        now += step
        if limiter.admit(now).admitted:
            admitted.append(now)
        else:
            assert sum(now - window <= stamp <= now for stamp in admitted) == limit


@given(
    limit=st.integers(1, 8),
    window=st.integers(1, 60),
    steps=st.lists(st.integers(0, 5), min_size=8, max_size=40),
)
def test_the_wait_is_the_shortest_that_is_honest(limit: int, window: int, steps: list[int]) -> None:
    """A call after the wait that was named is admitted, one a nanosecond earlier is not."""
    now, arrivals = 0, []
    for step in steps:
        now += step
        arrivals.append(now)
    limiters = [SlidingWindow(limit, window) for _ in range(2)]
    for arrival in arrivals:
        verdicts = [limiter.admit(arrival) for limiter in limiters]
    wait = verdicts[0].wait_ns
    assert (wait > 0) == (verdicts[0].remaining == 0)
    assert limiters[0].admit(now + wait).admitted
    if wait:
        assert not limiters[1].admit(now + wait - 1).admitted


def test_remaining_counts_down_to_the_refusal() -> None:
    """`remaining` says how many more calls are admitted at the same instant."""
    limiter = SlidingWindow(3, 100)
    verdicts = [limiter.admit(7) for _ in range(4)]
    assert [(verdict.admitted, verdict.remaining) for verdict in verdicts] == [
        (True, 2),
        (True, 1),
        (True, 0),
        (False, 0),
    ]
