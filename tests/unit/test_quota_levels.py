"""Which levels of use are worth a line in the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.watchdog.quota_levels import LEVELS, crossed, level


@pytest.mark.parametrize(
    ("used", "limit", "reached"),
    [
        (0, 1, 0),
        (79, 100, 0),
        (80, 100, 80),
        (94, 100, 80),
        (95, 100, 95),
        (99, 100, 95),
        (100, 100, 100),
        (120, 100, 100),
        (1, 1, 100),
    ],
)
def test_level(used: int, limit: int, reached: int) -> None:
    """A level is reached at its exact share.

    More slots in use than the limit (it was lowered) is the highest level.
    """
    assert level(used, limit) == reached


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (0, 0, False),
        (0, 80, True),
        (80, 95, True),
        (0, 100, True),
        (100, 95, False),
        (95, 80, False),
        (80, 0, True),
        (100, 0, True),
    ],
)
def test_crossed(before: int, now: int, said: bool) -> None:
    """Every rise is said, a fall only when it is below all levels, and staying never."""
    assert crossed(before, now) is said
    assert not crossed(now, now)


@given(limit=st.integers(1, 10**7), share=st.integers(0, 10**7))
def test_any_use(limit: int, share: int) -> None:
    """The level never falls as use grows, and is one of the levels or 0."""
    used = min(share, limit)
    assert level(used, limit) in (0, *LEVELS)
    assert level(used, limit) <= level(used + 1, limit)
    assert (level(used, limit) == 100) == (used == limit)
