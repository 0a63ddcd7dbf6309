"""How the tests count ticks: by what beat's lines say, not by their order."""

from __future__ import annotations

from typing import Any

from support.ticks import Balance, balance


def line(event: str, tick: int, **more: Any) -> dict[str, Any]:
    return {"event": event, "entry": "nightly", "tick": float(tick), **more}


GAP = line("tick_missed", 20, after=2.0, ticks=17, left_out=16)


def test_a_tick_sent_again_behind_the_line_of_a_gap_is_no_tick_too_many() -> None:
    """The third tick had begun before the gap and is sent again beside its newest one.

    The newest one's line comes first.
    """
    lines = [
        line("tick_sent", 1),
        line("tick_sent", 2),
        GAP,
        *(line("tick_sent", tick) for tick in (3, 20, 21, 22)),
    ]
    assert balance(lines, 1.0) == Balance(sent=6, told=16, untold=0, twice=0)


def test_a_tick_that_no_line_speaks_of_is_untold() -> None:
    """One between two that were sent, and one beside a gap."""
    assert balance([line("tick_sent", tick) for tick in (1, 2, 4)], 1.0).untold == 1
    assert (
        balance(
            [line("tick_sent", 1), GAP, line("tick_sent", 20), line("tick_sent", 21)], 1.0
        ).untold
        == 2
    )


def test_a_gap_may_be_the_first_that_a_beat_speaks_of() -> None:
    """Its ticks count from the one that was taken care of before."""
    assert balance([GAP, line("tick_sent", 3), line("tick_sent", 20)], 1.0).untold == 0


def test_a_tick_sent_twice_is_counted() -> None:
    """Under whatever id."""
    assert balance(
        [line("tick_sent", 1), line("tick_sent", 2), line("tick_sent", 1)], 1.0
    ) == Balance(2, 0, 0, 1)
