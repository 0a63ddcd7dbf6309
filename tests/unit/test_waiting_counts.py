"""What waits beside the queues is counted, whatever somebody has put among it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.plants import PLANTS
from warren.broker.rabbitmq.delay_queues import forget, note, noted
from warren.broker.waiting_counts import later_here, returning_here


@pytest.mark.parametrize("queue", ["mail", "a/b", "with space", "Ä.x"])
def test_queues_of_delays_are_remembered(tmp_path: Path, queue: str) -> None:
    """By their names, once, until they are gone."""
    name, other = f"warren.later.{queue}.64", f"warren.later.{queue}.128"
    assert noted(tmp_path) == []
    for _ in range(2):
        note(tmp_path, name)
        note(tmp_path, other)
    assert sorted(noted(tmp_path)) == sorted([name, other])
    forget(tmp_path, name)
    forget(tmp_path, name)
    assert noted(tmp_path) == [other]


def test_foreign_names_are_no_queues(tmp_path: Path) -> None:
    """Whoever counts asks RabbitMQ for none of them, and for a bounded number of others."""
    note(tmp_path, "warren.later.mail.1")
    for name in (b"x", b"warren.later.\xff", b"amq.rabbitmq.reply-to", b"warren.rejected"):
        os.close(os.open(os.fsencode(tmp_path / "later") + b"/" + name, os.O_CREAT))
    assert noted(tmp_path) == ["warren.later.mail.1"]
    for number in range(600):
        note(tmp_path, f"warren.later.q{number}.1")
    assert len(noted(tmp_path)) == 500


@pytest.mark.parametrize("word", PLANTS)
def test_nothing_that_stands_there_is_an_error(tmp_path: Path, word: str) -> None:
    """A count continues over what is no directory.

    A worker's note replaces an obstacle where it can.
    """
    for name in ("later", "returning", "broker"):
        PLANTS[word](tmp_path / name)
    assert (later_here(tmp_path / "broker"), returning_here(tmp_path), noted(tmp_path)) == (
        0,
        0,
        [],
    )
    note(tmp_path, "warren.later.mail.1")
    assert noted(tmp_path) == ["warren.later.mail.1"]
