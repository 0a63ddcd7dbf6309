"""No edit of a quota's terms lets a call through that the calls before it leave no room for."""

from __future__ import annotations

import pytest

from support.histories import History
from support.slots import ME, make, set_limits

#: Terms (limit, ticks of a window, ticks under them) whose slots, retired and served again, had
#: forgotten calls.
EDITS = [
    [(100, 20, 60), (50, 20, 200), (100, 300, 600)],
    [(100, 20, 60), (50, 20, 200), (50, 300, 10), (100, 300, 600)],
    [(120, 100, 300), (60, 100, 300), (60, 200, 600)],
    [(60, 100, 300), (60, 200, 600)],
    [(60, 100, 300), (120, 200, 600)],
    [(100, 100, 300), (20, 100, 300), (100, 100, 300)],
    [(240, 100, 300), (60, 100, 200), (120, 200, 600)],
]


@pytest.mark.parametrize(
    "edits", EDITS, ids=lambda edits: " ".join(f"{limit}/{window}" for limit, window, _ in edits)
)
def test_greedy_callers_between_edits(edits: list[tuple[int, int, int]]) -> None:
    """Callers that take each slot at once never make a call that the window has no room for.

    The limits of the moment count.
    """
    slots, now, calls = make(1, most=240), 1000, list[int]()
    for limit, window, ticks in edits:
        set_limits(slots, limit, window, 1, now)
        for now in range(now, now + ticks):  # noqa: B020  time continues
            while slots.available(1, now):
                assert sum(call + window > now for call in calls) < limit
                assert slots.settle(slots.reserve(ME, now), now + window)
                calls.append(now)
    assert calls[-1] > now - 2 * window, "the quota serves on"


def test_random_histories_of_edits() -> None:
    """Calls last, are refunded or lost, with boots and 30 edits.

    `scripts/bench edits` plays 10,000 such histories.
    """
    for seed in range(100):
        played = History(seed).play(30)
        assert not played.excess, f"history {seed}: {played.excess}"
        assert played.admitted
