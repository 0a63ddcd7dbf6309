"""How copies wait whose queue took none of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from warren.worker.refused_requeues import RefusedRequeues
from warren.worker.unconfirmed import PendingRequeue


def copy(key: str = "gone", **options: Any) -> PendingRequeue:
    """A copy for this queue."""
    return PendingRequeue(
        SimpleNamespace(body="{}", headers={}), "", key, {}, lambda: None, None, **options
    )


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets."""
    made = [1000.0]
    monkeypatch.setattr("warren.worker.refused_requeues.time.monotonic", lambda: made[0])
    return made


def test_one_of_them_asks_after_pauses_that_double(now: list[float]) -> None:
    """From 0.1 to 5 s, however many wait; the first is told, and all go when one was taken."""
    refused, many = RefusedRequeues(), [copy() for _ in range(3)]
    assert [refused.add(each) for each in many[:2]] == [True, False]
    assert refused.keeps(many[2])
    assert refused.due() == []
    for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
        now[0] += 0.99 * pause
        assert refused.due() == []
        now[0] += 0.02 * pause
        [first] = refused.due()
        assert refused.due() == []
        assert not refused.keeps(first)
        assert not refused.add(first)
    now[0] += 6
    [first] = refused.due()
    assert {first, *refused.taken(first)} == set(many)
    assert refused.add(first)


def test_one_that_is_not_heard_of_again_holds_up_none(now: list[float]) -> None:
    """Its message ran here meanwhile, or its connection was lost: the next one asks."""
    refused = RefusedRequeues()
    one, two = copy(), copy()
    refused.add(one)
    refused.add(two)
    now[0] += 1
    assert refused.due() == [one]
    now[0] += 1
    assert refused.due() == [two]
    assert refused.keeps(one)


def test_other_places_and_those_that_make_way_do_not_wait(now: list[float]) -> None:
    """They can be taken out as well, for what else is done with them."""
    refused = RefusedRequeues()
    refused.add(one := copy())
    refused.add(other := copy("other"))
    assert not refused.keeps(copy("there"))
    assert not refused.keeps(copy(not_taken=lambda: None))
    assert refused.sift(lambda each: each.routing_key == "gone") == [one]
    now[0] += 1
    assert refused.due() == [other]
    refused.clear()
    assert refused.add(other)
