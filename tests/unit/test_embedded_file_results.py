"""Task results as files."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from support.wait import result_of, until
from warren.errors import CannotWrite
from warren.system.process import die_with_parent


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    """An app that keeps its results in a directory which does not exist yet."""
    found = Celery("client", set_as_current=False)
    found.conf.result_backend = (
        f"warren.broker.embedded.file_results:Backend+file://{tmp_path}/state/results"
    )
    yield found
    found.close()


def test_a_result_is_read_back(app: Celery, tmp_path: Path) -> None:
    """A stored result is read by any process that has its id.

    A result that was forgotten twice or never stored is pending.
    """
    app.backend.store_result("one", {"n": 1}, "SUCCESS")
    assert result_of(AsyncResult("one", app=app)) == {"n": 1}
    assert [path.name for path in (tmp_path / "state" / "results").iterdir()] == [
        "celery-task-meta-one"
    ]
    for _ in range(2):
        AsyncResult("one", app=app).forget()
    assert AsyncResult("one", app=app).state == "PENDING"


def test_a_task_that_lets_nobody_read_its_files_has_a_result(app: Celery, tmp_path: Path) -> None:
    """What the broker writes is its owner's to read, whatever umask the process has."""
    before = os.umask(0o777)
    try:
        app.backend.store_result("one", 1, "SUCCESS")
    finally:
        os.umask(before)
    (file,) = (tmp_path / "state" / "results").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_is_no_result(app: Celery, tmp_path: Path) -> None:
    """A result that a power cut left empty is as good as none."""
    app.backend.store_result("one", 1, "SUCCESS")
    (tmp_path / "state" / "results" / "celery-task-meta-one").write_bytes(b"")
    assert AsyncResult("one", app=app).state == "PENDING"


def test_a_reader_never_meets_half_a_result(app: Celery) -> None:
    """While a result is replaced again and again, each reading finds one or the other, whole."""
    app.backend.store_result("one", "a" * 300_000, "SUCCESS")
    child = os.fork()
    if child == 0:
        die_with_parent(signal.SIGKILL)
        while True:  # until it is killed
            for letter in "ba":
                app.backend.store_result("two", letter * 300_000, "STARTED")
    seen: Counter[str] = Counter()

    def enough() -> bool:
        found: Any = app.backend.get(app.backend.get_key_for_task("two"))
        if found is None:
            assert not seen, "a result that was there is gone while it is replaced"
        else:
            value = app.backend.decode_result(found)["result"]
            assert len(value) == 300_000
            assert len(set(value)) == 1
            seen[value[0]] += 1
        return seen.total() >= 300 and len(seen) == 2

    try:
        until(enough, every=0, what="both results")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_old_results_are_cleaned_up(app: Celery, tmp_path: Path) -> None:
    """A clean-up removes what has expired, rests of killed writers included, and nothing else."""
    directory = tmp_path / "state" / "results"
    app.conf.result_expires = 100
    for name in ("old", "new"):
        app.backend.store_result(name, 1, "SUCCESS")
    (directory / ".rest").write_bytes(b"to")
    (directory / "notes.txt").write_bytes(b"mine")
    for name in ("celery-task-meta-old", ".rest", "notes.txt"):
        os.utime(directory / name, (time.time() - 200, time.time() - 200))
    app.backend.cleanup()
    assert sorted(path.name for path in directory.iterdir()) == [
        "celery-task-meta-new",
        "notes.txt",
    ]


def test_a_result_waits_for_room(
    app: Celery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a worker's child asks for it, a full disk delays a result.

    Elsewhere it is an error at once.
    """
    full = [True, True]
    store = app.backend.set

    def set_when_there_is_room(key: bytes, value: str | bytes) -> None:
        if full:
            full.pop()
            raise OSError(errno.ENOSPC, "No space left on device")
        store(key, value)

    monkeypatch.setattr(app.backend, "set", set_when_there_is_room)
    with pytest.raises(OSError, match="No space"):
        app.backend.store_result("one", 1, "SUCCESS")
    app.backend.always_retry = True
    app.backend.store_result("one", 2, "SUCCESS")
    assert result_of(AsyncResult("one", app=app)) == 2


def test_any_key_is_a_file(app: Celery, tmp_path: Path) -> None:
    """An id that is a path, or too long for a file name, has a result within the directory.

    The result is its own, and is cleaned up.
    """
    app.conf.result_expires = 100
    ids = (
        "https://example.org/page/1",
        "https://example.org/page/2",
        "../../x",
        "..",
        "x" * 200,
        "é" * 100,
    )
    for number, task_id in enumerate(ids):
        app.backend.store_result(task_id, number, "SUCCESS")
    assert [result_of(AsyncResult(task_id, app=app)) for task_id in ids] == list(range(len(ids)))
    directory = tmp_path / "state" / "results"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]
    assert len(list(directory.iterdir())) == len(ids)
    for path in directory.iterdir():
        os.utime(path, (time.time() - 200, time.time() - 200))
    app.backend.cleanup()
    assert not list(directory.iterdir())


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENAMETOOLONG, errno.EROFS, errno.ENOTDIR])
def test_an_error_that_stays_is_not_waited_for(
    app: Celery, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It would be the same at each trial, and hold a pool child for ever."""

    def fail(key: bytes, value: str | bytes) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(app.backend, "set", fail)
    app.backend.always_retry = True
    with pytest.raises(OSError, match=os.strerror(number)):
        app.backend.store_result("one", 1, "SUCCESS")


def test_a_directory_that_leads_to_nothing_is_named(app: Celery, tmp_path: Path) -> None:
    """A link to a disk that is not mounted ends a daemon with a sentence, and is left as it is."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "results").symlink_to(tmp_path / "disk")
    with pytest.raises(
        CannotWrite, match=r"cannot use the directory of results .*/results: .*leads to nothing"
    ):
        app.backend.store_result("one", 1, "SUCCESS")
    assert (tmp_path / "state" / "results").is_symlink()
