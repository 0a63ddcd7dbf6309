"""The file of queues that remote control has cancelled: what a worker loads and what it forgets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from warren.logs import setup
from warren.runtime.cancelled_queues import CancelledQueues
from warren.supervise.programs.forget_cancelled import forget_all_cancelled, forget_cancelled

QUEUES = ["default", "side"]


@pytest.fixture(autouse=True)
def lines(tmp_path: Path) -> Iterator[Any]:
    """A process with a log."""
    setup.configure("worker", "worker-a", "h", tmp_path / "log")
    yield lambda: [
        json.loads(line)
        for line in (tmp_path / "log/worker.log").read_text(encoding="utf-8").splitlines()
    ]
    setup.end()


def file_of(state_dir: Path, *cancelled: str, program: str = "worker-a") -> CancelledQueues:
    """The file of a worker that has cancelled these."""
    made = CancelledQueues(state_dir, program)
    made.write(cancelled)
    return made


def said(lines: Any) -> list[tuple[str, str]]:
    """The events of the log, and the queue of each."""
    return [(line["event"], line["queue"]) for line in lines()]


def test_a_worker_takes_up_what_is_cancelled_still(tmp_path: Path, lines: Any) -> None:
    """Each start says so once.

    A queue that its settings do not have any more is forgotten, and stays so.
    """
    file = file_of(tmp_path, "side", "gone")
    for _ in range(2):
        assert file.take_up(QUEUES, controlled=True) == {"side"}
    assert file.take_up([*QUEUES, "gone"], controlled=True) == {"side"}
    assert said(lines) == [("queue_cancelled", "side")] * 3


def test_without_remote_control_nothing_stays_cancelled(tmp_path: Path, lines: Any) -> None:
    """Nobody could add the queue again."""
    file = file_of(tmp_path, "side")
    assert file.take_up(QUEUES, controlled=False) == set()
    assert file.take_up(QUEUES, controlled=True) == set()
    assert said(lines) == [("queue_resumed", "side")]


def test_what_an_operator_has_asked_for_forgets_it(tmp_path: Path, lines: Any) -> None:
    """An operator's restart of one worker, or the end of the suite, forgets the list.

    This includes a worker that the settings do not have any more.
    """
    settings: Any = SimpleNamespace(
        app=SimpleNamespace(state_dir=tmp_path),
        workers={name: SimpleNamespace(queues=QUEUES) for name in "ab"},
    )
    files = [file_of(tmp_path, "side", program=f"worker-{name}") for name in "abc"]
    forget_cancelled(settings, "worker-a", "a test")
    assert [file.read() for file in files] == [set(), {"side"}, {"side"}]
    forget_all_cancelled(settings)
    forget_cancelled(settings, "worker-c", "a test")
    assert [file.read() for file in files] == [set()] * 3
    assert [(line["program"], line["queue"]) for line in lines()] == [
        ("worker-a", "side"),
        ("worker-b", "side"),
    ]


@pytest.mark.parametrize("kind", ["a directory", "a link", "garbage", "another kind", "nesting"])
def test_what_else_stands_there_cancels_nothing(tmp_path: Path, kind: str) -> None:
    """And makes way when something is to be kept or forgotten."""
    path = tmp_path / "worker/worker-a.cancelled"
    path.parent.mkdir()
    if kind == "a directory":
        (path / "within").mkdir(parents=True)
    elif kind == "a link":
        (tmp_path / "other").write_text('["side"]', encoding="utf-8")
        path.symlink_to(tmp_path / "other")
    else:
        path.write_bytes(
            {"garbage": b"\x00\xff", "another kind": b'{"side": 1}', "nesting": b"[" * 100_000}[
                kind
            ]
        )
    file = CancelledQueues(tmp_path, "worker-a")
    assert file.take_up(QUEUES, controlled=True) == set()
    file.forget(QUEUES, "a test")
    file.write(["side"])
    assert file.read() == {"side"}
    assert not path.is_symlink()
