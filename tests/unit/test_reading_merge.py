"""The order of merged log lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from warren.logs.reading.line import moment
from warren.logs.reading.merge import DISORDER, Timed, back_in_order, in_order, latest_first, merged

START = datetime(2026, 12, 31, 23, 59, 50, tzinfo=UTC)

#: Seconds from one line's write to the next, and how much earlier than its write a line was made.
WRITTEN = st.lists(st.tuples(st.floats(0, 3), st.floats(0, DISORDER)), max_size=60)


def line(number: int, seconds: float) -> Timed:
    """The line with that number, made so many seconds after the start."""
    return moment(START + timedelta(seconds=seconds)), f"{number}\n".encode()


@st.composite
def files(draw: st.DrawFn) -> list[list[Timed]]:
    """Files as processes write them: each line at its end, though made up to DISORDER before."""
    found = []
    for written in draw(st.lists(WRITTEN, max_size=4)):
        ends = accumulate(step for step, _ in written)
        found.append(
            [
                line(number, end - late)
                for number, (end, (_, late)) in enumerate(zip(ends, written, strict=True))
            ]
        )
    return found


@given(files())
def test_lines_come_out_by_time(found: list[list[Timed]]) -> None:
    """However the files interleave, the merge is sorted and whole.

    Each line may be late within the bound.
    """
    out = list(merged(found))
    assert [time for time, _ in out] == sorted(time for time, _ in out)
    assert sorted(out) == sorted(each for file in found for each in file)


@given(files())
def test_the_end_is_the_same_from_behind(found: list[list[Timed]]) -> None:
    """Read from their ends, the files give the same lines in the same order, the last one first."""
    assert (
        list(latest_first([back_in_order(reversed(file)) for file in found]))
        == list(merged(found))[::-1]
    )


def test_the_bound_holds_to_its_end() -> None:
    """A line that was written just the bound too late has its place before a later one."""
    late = 10.0 - DISORDER
    written = [line(1, late + 0.001), line(2, 10.0), line(3, late), line(4, 20.0)]
    assert list(in_order(written)) == sorted(written)
    before = [line(1, 11.8), line(2, 10.9), line(3, 11.2), line(4, 20.0)]
    assert list(back_in_order(reversed(before))) == sorted(before, reverse=True)


@given(
    st.lists(
        st.lists(st.floats(-10_000, 10_000).map(lambda seconds: line(0, seconds)), max_size=50),
        max_size=3,
    )
)
def test_no_disorder_loses_a_line(found: list[list[Timed]]) -> None:
    """A clock that jumps costs the order, and no line."""
    assert sorted(merged(found)) == sorted(each for file in found for each in file)


def test_lines_of_one_moment_stay_as_they_were_written() -> None:
    """What a process wrote within one microsecond stays in its order."""
    same = [line(number, 0.0) for number in (3, 1, 2)]
    assert list(in_order(same)) == same


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    """After a clock was set back by an hour, lines come out as they are read.

    They do not all come at the end.
    """
    lines = iter([line(0, 3600.0), *(line(number, number / 10) for number in range(1, 1000))])
    assert next(in_order(lines))[1] == b"1\n"
    assert len(list(lines)) > 900
