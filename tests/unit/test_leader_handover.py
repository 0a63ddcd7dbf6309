"""With which ticks a new leader continues."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from warren.beat.last_ticks import KnownTicks
from warren.beat.leader_handover import ticks_to_continue_with
from warren.config import ScheduleSettings

#: A moment at which an entry of ten seconds has a tick.
NOW = 1_000_000.0
BEFORE = NOW - 50


@pytest.mark.parametrize(
    ("recalled", "own", "expected"),
    [
        pytest.param(KnownTicks(), KnownTicks(), KnownTicks({"a": NOW}), id="never seen"),
        pytest.param(
            KnownTicks({"a": BEFORE}), KnownTicks(), KnownTicks({"a": BEFORE}), id="recalled"
        ),
        pytest.param(
            KnownTicks({"a": BEFORE}),
            KnownTicks({"a": BEFORE + 10}),
            KnownTicks({"a": BEFORE + 10}),
            id="own ticks that were not kept",
        ),
        pytest.param(
            KnownTicks({"a": BEFORE}, rounds={"a": 1}),
            KnownTicks({"a": NOW + 3600}),
            KnownTicks({"a": BEFORE}, rounds={"a": 1}),
            id="an own tick of a clock that was ahead",
        ),
        pytest.param(
            KnownTicks({"a": BEFORE}, {"a": (BEFORE, BEFORE + 10)}),
            KnownTicks({"a": BEFORE}, {"a": (BEFORE + 20,)}),
            KnownTicks({"a": BEFORE}, {"a": (BEFORE + 10, BEFORE + 20)}),
            id="begun by both",
        ),
        pytest.param(
            KnownTicks({"gone": BEFORE}), KnownTicks(), KnownTicks({"a": NOW}), id="another entry"
        ),
    ],
)
def test_a_new_leader_continues_with(
    recalled: KnownTicks, own: KnownTicks, expected: KnownTicks
) -> None:
    """The later tick of the newer round counts, and ticks whose sending has begun are kept."""
    entries = {"a": ScheduleSettings(task="t", every=10.0)}
    assert ticks_to_continue_with(entries, recalled, own, NOW, ZoneInfo("UTC")) == expected
