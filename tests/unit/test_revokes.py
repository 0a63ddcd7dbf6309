"""The file of what was revoked: what holds, what does not, and what else may stand in its place."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery.worker import state

from warren.logs import setup
from warren.worker import revokes as module
from warren.worker.revokes import HOLDS, Revokes


@pytest.fixture(autouse=True)
def lines(tmp_path: Path) -> Iterator[Any]:
    """A process with a log, which has heard of no revoke."""
    forget()
    setup.configure("worker", "worker-a", "h", tmp_path / "log")
    yield lambda: [
        json.loads(line)
        for line in (tmp_path / "log/worker.log").read_text(encoding="utf-8").splitlines()
    ]
    setup.end()
    forget()


def forget() -> None:
    """End a worker: what it had in memory is gone."""
    state.revoked.clear()
    state.revoked_stamps.clear()


def opened(directory: Path, program: str = "worker-a") -> Revokes:
    """Start another worker."""
    forget()
    found = Revokes(directory / "worker", program)
    found.open()
    return found


def test_a_revoke_is_known_to_the_next_worker_of_the_host(tmp_path: Path) -> None:
    """Ids and stamps are loaded from the worker's own file and from those of others.

    No other user may read the file.
    """
    first = opened(tmp_path)
    first.note(["one", "two", 5, None, "x" * 300, "new\nline"])
    first.note(stamps={"customer": ["c1", "c2"], "order": "o1", 5: "n", "long": "x" * 300})
    opened(tmp_path, "worker-b").note(["three"])
    for program in ("worker-a", "worker-b"):
        opened(tmp_path, program)
        assert set(state.revoked) == {"one", "two", "three"}
        assert state.revoked_stamps == {"customer": ["c1", "c2"], "order": ["o1"]}
        assert (tmp_path / "worker" / f"{program}.revoked").stat().st_mode & 0o777 == 0o600


def test_what_is_old_does_not_hold_and_the_newest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as Celery remembers; the file does not grow for ever."""
    monkeypatch.setattr(state, "REVOKES_MAX", 10)
    monkeypatch.setattr(module, "_FULL", 2_000)
    running = opened(tmp_path)
    path = tmp_path / "worker/worker-a.revoked"
    path.write_text(json.dumps([time.time() - HOLDS - 1, "id", "old", ""]) + "\n", encoding="utf-8")
    for number in range(500):
        running.note([f"id-{number}"])
        assert path.stat().st_size < 3_000
    opened(tmp_path)
    assert sorted(state.revoked)[-1] == "id-499"
    assert "old" not in state.revoked
    assert path.read_text(encoding="utf-8").count("\n") == 10


def test_a_running_worker_drops_nothing_that_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest ids are revoked for as long as the file holds them, not for three hours.

    This holds however many the worker hears.
    """
    monkeypatch.setattr(state.revoked, "maxlen", 10)
    running = opened(tmp_path)
    clock = time.monotonic()
    for number in range(30):
        monkeypatch.setattr(time, "monotonic", lambda number=number: clock + number * 86_400 / 2)
        running.note([f"id-{number}"])
        state.revoked.add(f"id-{number}")  # as Celery does next
        running.step()
    assert set(state.revoked) == {f"id-{number}" for number in range(20, 30)}


def test_a_running_worker_forgets_what_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They expire after the same time as in a worker that starts.

    The time counts from the revoke, not from the start of the worker.
    """
    now = time.time()
    path = tmp_path / "worker/worker-a.revoked"
    path.parent.mkdir()
    lines: list[Any] = [
        (now - HOLDS / 2, "id", "early", ""),
        (now - HOLDS / 2, "stamp", "customer", "c1"),
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    running = opened(tmp_path)
    running.note(["late"], {"customer": "c2", "order": "o1"})
    state.revoked.add("late")
    state.revoked_stamps["customer"] = [*state.revoked_stamps["customer"], "c2"]
    state.revoked_stamps["order"] = ["o1"]
    clock = time.monotonic()
    for age, ids, stamps in (
        (HOLDS / 3, {"early", "late"}, {"customer": ["c1", "c2"], "order": ["o1"]}),
        (HOLDS * 0.6, {"late"}, {"customer": ["c2"], "order": ["o1"]}),
        (HOLDS * 1.1, set(), {}),
    ):
        monkeypatch.setattr(time, "monotonic", lambda age=age: clock + age)
        running.step()
        assert set(state.revoked) == ids
        assert state.revoked_stamps == stamps


FOREIGN = {
    "garbage": b"\x00\xff\xfe garbage\nmore of it\n",
    "JSON of another kind": (
        b'{"a": 1}\n[1, 2, 3, 4]\n[true, "id", "x", ""]\n["now", "id", "x", ""]\n[1e999, "id", '
        b'"x", ""]\n'
    ),
    "deep nesting": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("kind", [*FOREIGN, "a directory", "a fifo", "a link", "a link to nothing"])
def test_what_else_stands_there_stops_no_worker(tmp_path: Path, lines: Any, kind: str) -> None:
    """The file is moved away with one log line, or removed where it holds nothing.

    What can be read of it holds.
    """
    path = tmp_path / "worker/worker-a.revoked"
    path.parent.mkdir()
    if kind in FOREIGN:
        path.write_bytes(
            json.dumps([time.time(), "id", "good", ""]).encode() + b"\n" + FOREIGN[kind]
        )
    elif kind == "a directory":
        (path / "within").mkdir(parents=True)
    elif kind == "a fifo":
        os.mkfifo(path)
    else:
        (tmp_path / "other").write_text("mine", encoding="utf-8")
        path.symlink_to(tmp_path / ("other" if kind == "a link" else "nothing"))
    running = opened(tmp_path)
    assert set(state.revoked) == ({"good"} if kind in FOREIGN else set())
    running.note(["next"])
    opened(tmp_path)
    assert "next" in state.revoked
    assert path.is_file()
    assert not path.is_symlink()
    told = [line for line in lines() if line["event"] == "file_moved_away"]
    assert len(told) == (kind in FOREIGN or kind == "a directory")
    if kind == "a link":
        assert (tmp_path / "other").read_text(encoding="utf-8") == "mine"


def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path, lines: Any) -> None:
    """A power cut, or a disk that was full: nothing is foreign about it."""
    opened(tmp_path).note(["one"])
    path = tmp_path / "worker/worker-a.revoked"
    with path.open("ab") as file:
        file.write(b'[123.5, "id", "tw')
    opened(tmp_path).note(["three"])
    opened(tmp_path)
    assert set(state.revoked) == {"one", "three"}
    assert not lines()


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing can be written within."""

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(module, "open_or_make", full)
        broken.setattr(module, "replace_file", full)
        yield


def test_what_could_not_be_written_is_written_later(
    tmp_path: Path, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once, holds meanwhile, and is there when the disk takes it."""
    running = opened(tmp_path)

    with full_disk(monkeypatch):
        for task_id in ("one", "two"):
            running.note([task_id])
            state.revoked.add(task_id)  # as Celery does next
        running.step()
    assert [line["event"] for line in lines()] == ["cannot_write"]
    monkeypatch.setattr(time, "monotonic", lambda: float("inf"))
    running.step()
    opened(tmp_path)
    assert set(state.revoked) == {"one", "two"}


def test_stamps_that_could_not_be_written_are_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ids are: also the one whose writing has failed."""
    running = opened(tmp_path)

    with full_disk(monkeypatch):
        running.note(stamps={"customer": "c1"})
        state.revoked_stamps["customer"] = ["c1"]
    monkeypatch.setattr(time, "monotonic", lambda: float("inf"))
    running.step()
    opened(tmp_path)
    assert state.revoked_stamps == {"customer": ["c1"]}


def test_planted_files_cost_a_bounded_number_of_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that starts parses no more than two files' worth, whatever tasks write there.

    It loads the revokes of its own file.
    """
    opened(tmp_path).note(["mine"])
    directory = tmp_path / "worker"
    stamp = [time.time(), "stamp", "s"]
    for number in range(5):
        (directory / f"!{number}.revoked").write_bytes(b"\n" * 100_000)
        (directory / f"!{number}-garbage.revoked").write_bytes(b"x\n" * 100_000)
        (directory / f"!{number}-many.revoked").write_text(
            "".join(json.dumps([*stamp, f"{number}-{each}"]) + "\n" for each in range(50_000)),
            encoding="utf-8",
        )
    parsed, real = [0], module._parsed

    def counted(raw: bytes) -> Any:
        parsed[0] += 1
        return real(raw)

    monkeypatch.setattr(module, "_parsed", counted)
    opened(tmp_path)
    assert "mine" in state.revoked
    assert parsed[0] <= 2 * module._most()
    assert len(state.revoked_stamps["s"]) == module._STAMPS
