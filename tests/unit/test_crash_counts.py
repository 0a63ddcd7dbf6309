"""What the workers of a host remember of their deaths."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from warren.worker import crash_counts as module
from warren.worker.crash_counts import CrashCounts


def left(directory: Path, program: str, *tasks: str) -> None:
    """As a worker leaves its file when it is killed while it runs these."""
    directory.mkdir(exist_ok=True)
    slots = [json.dumps([task, "jobs.x"]).encode() if task else b"" for task in tasks]
    (directory / f"{program}.tasks").write_bytes(
        b"".join(slot.ljust(4096, b"\0") for slot in slots)
    )


def opened(directory: Path, program: str = "worker-a") -> CrashCounts:
    """The deaths as a worker that starts sees them."""
    crash_counts = CrashCounts(directory, program, 2)
    crash_counts.open()
    return crash_counts


def test_each_crash_counts_once(tmp_path: Path) -> None:
    """A task that was at work at two of three deaths has two; one that never was has none."""
    left(tmp_path, "worker-a", "bad", "good")
    assert (
        opened(tmp_path).of("bad"),
        opened(tmp_path).of("good"),
        opened(tmp_path).of("other"),
    ) == (1, 1, 0)
    left(tmp_path, "worker-a", "", "bad")
    assert (opened(tmp_path).of("bad"), opened(tmp_path).of("good")) == (2, 1)


def test_the_workers_of_a_host_count_together(tmp_path: Path) -> None:
    """A task that ends several workers has as many tries on the host as on one worker."""
    for program in ("worker-a", "worker-b"):
        left(tmp_path, program, "bad")
        opened(tmp_path, program)
    assert opened(tmp_path, "worker-c").of("bad") == 2


def test_a_loss_that_no_message_carries_counts(tmp_path: Path) -> None:
    """A loss is counted when the connection is gone or breaks before the confirmation.

    The next worker knows it as well.
    """
    crash_counts = opened(tmp_path)
    assert [crash_counts.count("bad"), crash_counts.count("bad")] == [1, 2]
    for task_id in ("cut off", "carried"):
        crash_counts.on_way(task_id)
    crash_counts.carried("carried")
    crash_counts.disconnected()
    crash_counts.disconnected()
    for found in (crash_counts, opened(tmp_path)):
        assert [found.of(task_id) for task_id in ("bad", "cut off", "carried")] == [2, 1, 0]


def test_what_was_acknowledged_before_it_ran_has_no_other_try(tmp_path: Path) -> None:
    """It is told apart, once, and no death of it counts: nobody gives it to a worker again."""
    left(tmp_path, "worker-a", "late")
    slot = json.dumps(["early", "jobs.x", "side"]).encode()
    (tmp_path / "worker-a.tasks").open("ab").write(slot.ljust(4096, b"\0"))
    crash_counts = opened(tmp_path)
    assert (crash_counts.gone, crash_counts.of("early"), crash_counts.of("late")) == (
        [("early", "jobs.x", "side")],
        0,
        1,
    )
    assert not opened(tmp_path).gone


@pytest.mark.parametrize("text", ["\0", "\u20ac", "\U0001f600", '"'])
def test_a_note_fits_whatever_it_says(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As JSON a character may take twelve bytes.

    A note that is longer than its room would reach into another child's.
    """
    monkeypatch.setattr(module, "current_process", lambda: SimpleNamespace(index=1))
    for late in (True, False):
        crash_counts = opened(tmp_path)
        request = SimpleNamespace(
            id=text * 300, is_eager=False, delivery_info={"routing_key": text * 300}
        )
        crash_counts.task_began(SimpleNamespace(request=request, name=text * 300, acks_late=late))
        assert (tmp_path / "worker-a.tasks").stat().st_size <= 2 * 4096
        successor = opened(tmp_path)
        assert successor.of(text * 300) == 1  # the first one
        assert [each[0] for each in successor.gone] == ([] if late else [text * 160])


def test_an_clean_end_is_no_crash(tmp_path: Path) -> None:
    """What was handed back then has as many tries as before."""
    left(tmp_path, "worker-a", "long")
    (crash_counts := CrashCounts(tmp_path, "worker-a", 1)).open()
    left(tmp_path, "worker-a", "long", "longer")
    crash_counts.forget()
    assert (opened(tmp_path).of("long"), opened(tmp_path).of("longer")) == (1, 0)


def test_an_end_in_order_that_nobody_asked_for_is_one(tmp_path: Path) -> None:
    """A task may have sent the signal itself, each time.

    What was requeued then has one try less, once.
    """
    (crash_counts := CrashCounts(tmp_path, "worker-a", 1)).open()
    left(tmp_path, "worker-a", "long")
    crash_counts.forget([("long", "jobs.x")])
    for expected in (1, 1):
        (found := CrashCounts(tmp_path, "worker-a", 1)).open(unasked=True)
        assert found.of("long") == expected


def test_what_a_dead_child_has_noted(tmp_path: Path) -> None:
    """The task that it ran, and no other; what somebody has written over the note is none."""
    crash_counts = opened(tmp_path)
    left(tmp_path, "worker-a", "one", "two")
    assert [
        crash_counts.began(index, task_id) for index in (0, 1, 2) for task_id in ("one", "two", "")
    ] == [
        *(True, False, False),
        *(False, True, False),
        *(False, False, False),
    ]
    for garbage in (b"[" * 4096, b"\xff" * 4096, b"{}", b"[]", b"1"):
        (tmp_path / "worker-a.tasks").write_bytes(garbage)
        assert not crash_counts.began(0, "one")
    assert not CrashCounts(tmp_path, "worker-b", 1).began(0, "one")


def test_only_the_newest_are_remembered(tmp_path: Path) -> None:
    """The file stays small, however many tasks were lost in a worker's life."""
    for number in range(3):
        left(tmp_path, "worker-a", *(f"{number}-{task}" for task in range(500)))
        crash_counts = opened(tmp_path)
    assert (crash_counts.of("0-0"), crash_counts.of("1-0"), crash_counts.of("2-499")) == (0, 1, 1)


@pytest.mark.parametrize("text", [b"[1]", b"{", b"\xff\xff", b'{"a": []}'])
def test_garbage_is_no_crash(tmp_path: Path, text: bytes) -> None:
    """Half a note or a damaged file counts nothing, and the worker starts."""
    (tmp_path / "worker-a.tasks").write_bytes(text)
    (tmp_path / "worker-a.crashes").write_bytes(text)
    assert opened(tmp_path).of("a") == 0


def test_a_directory_that_cannot_be_written_ends_no_worker(tmp_path: Path) -> None:
    """It runs, and counts nothing."""
    (tmp_path / "file").write_text("", encoding="ascii")
    crash_counts = opened(tmp_path / "file" / "worker")
    crash_counts.forget()
    assert crash_counts.of("a") == 0
