"""How many copies may be on their way to the broker at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from support.wait import let_pass
from warren.worker.unconfirmed import WINDOW, WINDOW_BYTES, PendingRequeue, Unconfirmed


def copy(body: str = "{}", repeatable: bool = True, **options: Any) -> PendingRequeue:
    """A copy of a message with this body."""
    message = SimpleNamespace(body=body, headers={})
    return PendingRequeue(
        message, "", "there", {}, lambda: None, None, repeatable=repeatable, **options
    )


def test_of_tasks_one_is_on_its_way_at_a_time() -> None:
    """Cut off then, one task at most is there twice; dead letters beside it do not hold it up."""
    sent = Unconfirmed()
    sent.add(copy())
    assert sent.has_room(copy(repeatable=False))
    sent.add(task := copy(repeatable=False))
    assert not sent.has_room(copy(repeatable=False))
    assert sent.has_room(copy())
    assert sent.settle(task)
    assert sent.has_room(copy(repeatable=False))


def test_dead_letters_are_many_at_a_time() -> None:
    """So many copies, of so many bytes, are on their way at once.

    A large one goes alone, and one at a time goes while they are refused.
    """
    sent, many = Unconfirmed(), [copy() for _ in range(WINDOW)]
    for each in many:
        assert sent.has_room(each)
        sent.add(each)
    assert not sent.has_room(copy())
    assert sent.settle(many[3])
    assert sent.has_room(copy())
    large = copy("x" * WINDOW_BYTES)
    assert not sent.has_room(large)
    assert not large.is_small
    assert sent.clear() == many[:3] + many[4:]
    assert sent.has_room(large)
    sent.add(large)
    assert not sent.has_room(copy())
    assert sent.settle(large)
    sent.most = 1
    sent.add(copy())
    assert not sent.has_room(copy())


def test_a_message_that_cannot_be_shown_goes_alone() -> None:
    """Its size is not known."""
    headers: dict[str, Any] = {}
    for _ in range(100_000):
        headers = {"x": headers}
    assert not PendingRequeue(
        SimpleNamespace(body="", headers=headers), "", "", {}, lambda: None, None, repeatable=True
    ).is_small


def test_what_is_kept_in_another_way_has_no_answer_any_more() -> None:
    """Its confirmation comes late, and must not acknowledge the message a second time."""
    sent = Unconfirmed()
    task, letter, other = copy(repeatable=False, refused=print), copy(refused=print), copy()
    for each in (task, letter, other):
        sent.add(each)
    assert sent.take_repeatable(lambda _: True) == [letter]
    assert not sent.settle(letter)
    assert sent.settle(task)
    assert sent.settle(other)


def test_an_end_waits_for_each_of_them_for_so_long() -> None:
    """One that has gone just now is waited for."""
    sent = Unconfirmed()
    assert sent.all_for(60)
    sent.add(copy())
    let_pass(0.01)
    assert sent.all_for(0.01)
    assert not sent.all_for(60)
