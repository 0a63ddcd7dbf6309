"""What a refused call does, what a store's line says, and which store an app has."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from warren.tasks import lock_line
from warren.tasks.lock_contention import Busy, OnBusy, busy_with, checked, decide
from warren.tasks.lock_line import Holder
from warren.tasks.lock_store import redis_url

NOTE = lock_line.note_of("id-1", "shop.fetch", "crawl1", 42)
WHO = Holder("id-1", "shop.fetch", "crawl1", 42, datetime.fromtimestamp(1.5, UTC))


@pytest.mark.parametrize(
    ("on_busy", "in_task", "same_task", "own_lock", "then"),
    [
        ("raise", True, False, False, "raise"),
        ("retry", True, False, False, "retry"),
        ("skip", True, False, False, "skip"),
        # The second delivery of a task whose worker was killed would be lost otherwise.
        ("raise", True, True, False, "retry"),
        ("skip", True, True, False, "retry"),
        # A program has no message that could come later.
        ("retry", False, False, False, "raise"),
        ("skip", False, False, False, "skip"),
        # It would wait for itself.
        ("retry", True, True, True, "raise"),
        ("skip", True, True, True, "raise"),
    ],
)
def test_a_refused_call(
    on_busy: OnBusy, in_task: bool, same_task: bool, own_lock: bool, then: str
) -> None:
    """Each case by itself."""
    assert decide(on_busy, in_task=in_task, same_task=same_task, own_lock=own_lock) == then


def test_an_unknown_behaviour_is_refused() -> None:
    """The message names the three."""
    with pytest.raises(ValueError, match="expected on_busy to be raise, retry or skip, found 'x'"):
        checked("x")


def test_a_line_is_read_as_it_was_written() -> None:
    """The holder, the token, and the result behind work that is done."""
    line = lock_line.locked("ab", 7, 1.5, NOTE)
    locked = lock_line.parse(line)
    assert locked == lock_line.Line(False, "ab", 7, WHO)
    done = lock_line.parse(lock_line.done(line, '"a\\nb"\n'))
    assert done == lock_line.Line(True, "ab", 7, WHO, '"a\\nb"\n')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "L",
        "L a b c d",
        f"X ab 7 1.5 {NOTE}",
        f"L ab seven 1.5 {NOTE}",
        f"L ab 7 nan {NOTE}",
        f"L ab 7 1e300 {NOTE}",
        "L ab 7 1.5 {}",
        "L ab 7 1.5 []",
        'L ab 7 1.5 {"task_id": [], "task": null, "host": "a", "pid": 1}',
        'L ab 7 1.5 {"task_id": "a", "task": null, "host": "a", "pid": "1"}',
        "L ab 7 1.5 " + "[" * 100_000,
    ],
)
def test_a_line_of_somebody_else_is_none(text: str) -> None:
    """Whatever stands in a lock's place, a caller gets no other error than a refusal."""
    assert lock_line.parse(text) is None


def test_who_holds_it_is_told_and_survives_the_result_backend() -> None:
    """Celery makes the error again from its arguments, which are JSON."""
    busy = busy_with("page:a", WHO)
    again = Busy(*json.loads(json.dumps(busy.args)))
    assert str(again) == str(busy)
    assert "task id-1 (shop.fetch) on host crawl1, process 42, since 1970-01-01T00:00:01Z" in str(
        busy
    )
    assert again.holder["task_id"] == "id-1"
    assert str(busy_with("a", Holder())).startswith("a: another holder works: a program on host un")


def test_which_redis() -> None:
    """The broker's before that of the results; none on RabbitMQ alone and on the embedded one."""
    own, rpc = "warren.broker.redis.redis_results:Backend+", "warren.x:Backend+rpc://"
    assert redis_url("redis://a/0;redis://b/0", f"{own}redis://c/0") == "redis://a/0"
    assert redis_url("amqp://a", f"{own}rediss://:p%2Bq@c/0") == "rediss://:p%2Bq@c/0"
    assert redis_url("amqp://a", rpc) is None
    assert redis_url("warren://", "warren.y:Backend+file:///x") is None
