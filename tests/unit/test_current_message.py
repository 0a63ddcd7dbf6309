"""The message that a worker had in hand as it died."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from warren.worker.current_message import MOST_CRASHES, CurrentMessage


def started(directory: Path, program: str = "worker-a") -> CurrentMessage:
    """The note of a worker that starts."""
    hand = CurrentMessage(directory, program)
    hand.open()
    return hand


def dies(directory: Path, body: object, headers: object, program: str = "worker-a") -> None:
    """A worker that dies while it looks at this message."""
    started(directory, program).note(body, headers)


def test_a_message_that_kills_is_refused_in_the_end(tmp_path: Path) -> None:
    """A message is refused after its crashes, and not before.

    Another message, or the same body under another id, is not refused.
    """
    for _ in range(MOST_CRASHES):
        hand = started(tmp_path)
        hand.note(b"[[], {}, {}]", {"id": "bad"})
        assert hand.refusal() == ""
    hand = started(tmp_path)
    hand.note(b"[[], {}, {}]", {"id": "bad"})
    assert hand.refusal() == (
        "expected a message that its worker outlives, found one at which the worker "
        f"died {MOST_CRASHES} times"
    )
    hand.note(b"[[], {}, {}]", {"id": "good"})
    assert hand.refusal() == ""


def test_the_workers_of_a_host_count_together(tmp_path: Path) -> None:
    """A message that ends several workers has as many tries on the host as on one worker."""
    for number in range(MOST_CRASHES):
        dies(tmp_path, "x", {}, f"worker-{number}")
    for number in range(MOST_CRASHES):
        started(tmp_path, f"worker-{number}")
    hand = started(tmp_path, "worker-z")
    hand.note("x", {})
    assert hand.refusal()


def test_what_was_answered_is_not_counted(tmp_path: Path) -> None:
    """A worker that dies with none in hand counts nothing."""
    for _ in range(MOST_CRASHES + 1):
        hand = started(tmp_path)
        hand.note(b"x", {"id": "good"})
        hand.clear()
    hand.note(b"x", {"id": "good"})
    assert hand.refusal() == ""


def test_a_forked_child_leaves_the_note_alone(tmp_path: Path) -> None:
    """It shares the memory, and what it receives (a result) is not in the worker's hand."""
    hand = started(tmp_path)
    child = os.fork()
    if child == 0:
        hand.note(b"x", {})
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "worker-a.current-message").read_bytes() == bytes(16)


@pytest.mark.parametrize("kind", ["truncated", "removed", "closed", "a directory"])
def test_what_becomes_of_the_file_stops_no_worker(tmp_path: Path, kind: str) -> None:
    """Whatever a task does to the file, the next message is noted again.

    No other file is written to.
    """
    hand, path = started(tmp_path), tmp_path / "worker-a.current-message"
    with open(tmp_path / "other", "wb") as other:
        other.write(b"x" * 32)
    if kind == "truncated":
        os.truncate(path, 0)
    elif kind == "closed":
        file = next(
            int(fd)
            for fd in os.listdir("/proc/self/fd")
            if os.path.realpath(f"/proc/self/fd/{fd}") == str(path)
        )
        with open(tmp_path / "other", "rb+") as other:
            os.dup2(other.fileno(), file)
    else:
        path.unlink()
        if kind == "a directory":
            path.mkdir()
    hand.clear()
    hand.note(b"x", {"id": "bad"})
    assert path.read_bytes() != bytes(16)
    assert len(path.read_bytes()) == 16
    assert (tmp_path / "other").read_bytes() == b"x" * 32


def test_any_message_has_a_key(tmp_path: Path) -> None:
    """Whatever it is: nothing is looked into yet."""
    hand = started(tmp_path)
    for body in (None, "", "\ud800", b"", memoryview(b"x"), 5, [1], {"a": 1}):
        whatever: list[object] = [None, [], {"id": ["a"]}, {"id": "\ud800" * 9000}]
        for headers in whatever:
            hand.note(body, headers)


def test_a_directory_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """Then nothing is counted, and the worker works."""
    (tmp_path / "file").write_bytes(b"")
    hand = started(tmp_path / "file" / "below")
    hand.note(b"x", {})
    assert hand.refusal() == ""
