"""A message that nobody can run is kept on this host, whatever it is made of."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.wait import let_pass
from warren.broker.rejection_limits import trim
from warren.worker.dead_letters import (
    LONGEST_PAUSE,
    MOST_UNKEPT,
    MOST_UNKEPT_BYTES,
    WHY,
    DeadLetters,
)
from warren.worker.requeue import Requeuer


def deep() -> dict[str, Any]:
    """Return headers that json cannot write."""
    found: dict[str, Any] = {}
    for _ in range(100_000):
        found = {"x": found}
    return found


class Loud:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "headers",
    [{"id": "one"}, {("a", "b"): 1}, {"blob": b"\xff"}, {"loud": Loud()}, deep()],
    ids=["plain", "key", "bytes", "loud", "deep"],
)
def test_whatever_it_is_made_of_is_kept(tmp_path: Path, headers: dict[Any, Any]) -> None:
    """One file with the reason, and only then the acknowledgement."""
    message = SimpleNamespace(
        headers=headers,
        properties={},
        body="[]",
        content_type="application/json",
        content_encoding="utf-8",
        delivery_info={},
    )
    acknowledged: list[int] = []
    # it sends nothing
    letters = DeadLetters(cast(Requeuer, None), "here", "main", tmp_path / "rejected")
    letters.keep_here(
        message,
        "no reason",
        lambda: acknowledged.append(len(list((tmp_path / "rejected").iterdir()))),
    )
    assert acknowledged == [1]
    (kept,) = (tmp_path / "rejected").iterdir()
    assert json.loads(kept.read_text(encoding="utf-8"))["headers"][WHY]["reason"] == "no reason"


def letter(done: list[str], name: str, body: str = "[]") -> tuple[Any, Any]:
    """A message, and what acknowledges it."""
    fields = {
        "headers": {"id": name},
        "properties": {},
        "content_type": "application/json",
        "content_encoding": "utf-8",
    }
    return SimpleNamespace(**fields, body=body, delivery_info={}), lambda: done.append(name)


def test_it_is_acknowledged_by_the_confirmation_of_its_copy(tmp_path: Path) -> None:
    """And before that by nobody: a worker that ends in between leaves the message in its queue."""
    done, given = list[str](), list[dict[str, Any]]()

    def send(message: Any, exchange: str, queue: str, done: Any, **options: Any) -> None:
        given.append({"done": done, **options})

    requeuer = SimpleNamespace(send=send, lost=(ConnectionError,))
    letters = DeadLetters(cast(Requeuer, requeuer), "here", "main", tmp_path / "rejected")
    message, acknowledge = letter(done, "a")
    message.channel = None
    letters.keep(message, "no reason", acknowledge)
    assert done == []
    assert given[0]["repeatable"]
    given[0]["done"]()
    assert done == ["a"]
    given[0]["refused"]()  # an alarm: it is on disk before it is acknowledged
    assert len(list((tmp_path / "rejected").iterdir())) == 1
    assert done == ["a", "a"]


class Prefetch:
    """Stands for the consumer: notes by how much its prefetch is raised."""

    def __init__(self) -> None:
        self.qos, self.value = self, 0

    @property
    def raised(self) -> int:
        """By how much, since its beginning."""
        return self.value

    def increment_eventually(self, number: int) -> None:
        """As Celery's."""
        self.value += number

    def decrement_eventually(self, number: int) -> None:
        """As Celery's."""
        self.value -= number


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock that the dead letters read; the test sets it."""
    now = [1000.0]
    monkeypatch.setattr("warren.worker.dead_letters.time.monotonic", lambda: now[0])
    return now


def test_on_a_full_disk_a_dead_letter_waits_and_is_tried_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: list[float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A full disk is logged once and tried ever more seldom, not by each new message.

    Good tasks have room beside, and the message is kept when the disk has room.
    """
    tries: list[str] = []

    def full(path: str, *_: Any, **__: Any) -> None:
        tries.append(path)
        raise OSError(28, "No space left on device")

    letters, done, prefetch = (
        DeadLetters(cast(Requeuer, None), "here", "main", tmp_path / "rejected"),
        list[str](),
        Prefetch(),
    )
    letters.begin(prefetch)
    with monkeypatch.context() as disk:
        disk.setattr("warren.worker.message_file.write_whole", full)
        for name in "abc":
            letters.keep_here(letter(done, name)[0], "no reason", letter(done, name)[1])
        assert (len(tries), prefetch.raised) == (1, 3)
        for _ in range(1000):
            clock[0] += 1.0
            letters.step()
        assert 10 <= len(tries) <= 30  # of a thousand seconds
        assert (done, prefetch.raised) == ([], 3)
    clock[0] += LONGEST_PAUSE
    letters.step()
    assert done == ["a", "b", "c"]
    assert len(list((tmp_path / "rejected").iterdir())) == 3
    assert prefetch.raised == 0
    assert capsys.readouterr().err.count("cannot_keep") <= 1


def test_what_waits_for_a_full_disk_takes_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    """Beyond so many messages, or bytes, each holds a place of the prefetch.

    No more are fetched then.
    """

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("warren.worker.message_file.write_whole", full)
    for size, room in ((2, MOST_UNKEPT), (MOST_UNKEPT_BYTES // 4, 4)):
        letters, done, prefetch = (
            DeadLetters(cast(Requeuer, None), "here", "main", tmp_path / "rejected"),
            list[str](),
            Prefetch(),
        )
        letters.begin(prefetch)
        body = "x" * size
        for number in range(room + 5):
            letters.keep_here(
                letter(done, str(number), body)[0], "no reason", letter(done, str(number))[1]
            )
        assert prefetch.raised == room
        letters.begin(prefetch)  # a new connection: they come again
        clock[0] += 1
        letters.step()
        assert done == []


def test_of_too_many_the_oldest_are_dropped(tmp_path: Path) -> None:
    """Dead letters are bounded by number and by size on disk, over all queues.

    Newer ones stay, and unfinished ones.
    """
    for number in range(6):
        queue = tmp_path / f"queue{number % 2}"
        queue.mkdir(exist_ok=True)
        (queue / f"{number}").write_bytes(b"x" * 8192)
        os.utime(queue / f"{number}", (0, 0))  # only when it came here counts
        let_pass(0.02)
    (tmp_path / "queue0" / ".unfinished").write_bytes(b"x")
    assert trim(tmp_path, most=4) == 2
    assert sorted(path.name for path in tmp_path.glob("*/[0-9]")) == ["2", "3", "4", "5"]
    assert trim(tmp_path, most=4, most_bytes=2 * 8192) == 2
    assert sorted(path.name for path in tmp_path.glob("*/[0-9]")) == ["4", "5"]
    assert trim(tmp_path, most=4) == 0
    assert (tmp_path / "queue0" / ".unfinished").exists()
