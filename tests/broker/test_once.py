"""`warren.once` with its real stores: files of this host, and Redis."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from support.brokers import own_section
from support.forks import child, end, killed_at
from support.suite import Suite, broker_section
from support.wait import let_pass, until
from warren.app.factory import make_app
from warren.config import load
from warren.tasks import file_locks, redis_locks
from warren.tasks.held_lock import LockLost
from warren.tasks.lock_contention import Busy
from warren.tasks.lock_interface import NoLockStore
from warren.tasks.once import LARGEST, ResultNotKept, once

#: The Redis database of this file and of test_unique.py.
DATABASE = 13


@pytest.fixture(params=("embedded", "redis"))
def store(request: pytest.FixtureRequest, scratch: Path) -> str:
    """The current app has this store."""
    make_app(load(Suite(scratch, own_section(request, scratch, DATABASE)).etc))
    return str(request.param)


@pytest.fixture
def server(redis_url: str, scratch: Path) -> Any:
    """The current app has its store in this Redis."""
    url = redis_url.removesuffix("/0") + f"/{DATABASE}"
    make_app(load(Suite(scratch, broker_section(scratch, url)).etc))
    found = redis.Redis.from_url(url)
    found.flushdb()
    return found


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("result", [None, 7, "ü\n\n", {"a": [1, {"b": None}]}, datetime.now(UTC)])
def test_the_second_run_returns_the_first_result(result: object) -> None:
    """The function is not called again, whatever JSON it returned; another key is other work."""
    calls = []

    @once("invoice:{number}")
    def invoice(number: int) -> object:
        calls.append(number)
        return result

    assert [invoice(1), invoice(1), invoice(number=1), invoice(2)] == [result] * 4
    assert calls == [1, 2]


@pytest.mark.usefixtures("store")
def test_a_failed_run_is_not_done() -> None:
    """The next call does the work."""
    calls = []

    @once("{number}")
    def work(number: int) -> int:
        calls.append(number)
        return 1 // (len(calls) - 1)

    with pytest.raises(ZeroDivisionError):
        work(1)
    assert [work(1), work(1)] == [1, 1]
    assert calls == [1, 1]


@pytest.mark.usefixtures("store")
def test_a_result_that_is_no_json_is_an_error() -> None:
    """As it is for any task. The work does not count as done."""

    @once("x")
    def work() -> object:
        return object()

    for _ in range(2):
        with pytest.raises(TypeError, match="JSON"):
            work()


@pytest.mark.usefixtures("store")
def test_a_result_that_is_too_large_is_not_kept() -> None:
    """The work is done once all the same, and the second caller is told where the result is."""
    calls = []

    @once("x")
    def work() -> str:
        calls.append(1)
        return "x" * LARGEST

    assert len(work()) == LARGEST
    with pytest.raises(ResultNotKept, match="was larger than"):
        work()
    assert calls == [1]


@pytest.mark.usefixtures("store")
def test_a_second_run_beside_the_first_is_refused() -> None:
    """It is told who works; without a task it cannot be sent again."""

    @once("x")
    def work() -> None:
        with pytest.raises(Busy, match=f"process {os.getpid()}"):
            work()

    work()


@pytest.mark.usefixtures("store")
def test_a_result_is_known_for_its_time_alone() -> None:
    """Behind it the work is done again."""
    calls = []

    @once("x", keep=1)
    def work() -> int:
        calls.append(1)
        return len(calls)

    assert work() == 1
    until(lambda: work() == 2, what="the end of its time", every=0.1)


@pytest.mark.usefixtures("store")
def test_races_and_kills(scratch: Path) -> None:
    """Of processes that race, one does the work of each key; a killed one's work is done again.

    No key is done twice by processes that lived.
    """
    chance = random.Random(2)
    done = scratch / "done"

    @once("key:{number}")
    def work(number: int) -> int:
        time.sleep(0.01)  # load: the work
        with open(done, "a", encoding="ascii") as file:
            file.write(f"{number} {os.getpid()}\n")
        return os.getpid()

    def race() -> None:
        for number in range(30):
            until(lambda: _worked(work, number), what="the work")  # noqa: B023

    running = [child(race) for _ in range(8)]
    killed = []
    until(done.exists, what="the first work")
    for _ in range(4):
        let_pass(chance.random() * 0.2)
        killed.append(pid := running.pop())
        os.kill(pid, signal.SIGKILL)
        end(pid)
        running.insert(0, child(race))
    assert [end(pid) for pid in running] == [0] * len(running)
    lines = [tuple(map(int, line.split())) for line in done.read_text().splitlines()]
    assert {number for number, _ in lines} == set(range(30))
    alive = [number for number, pid in lines if pid not in killed]
    assert len(alive) == len(set(alive))
    assert len(lines) <= 30 + len(killed)


def _worked(work: Any, number: int) -> bool:
    try:
        return bool(work(number))
    except Busy:
        return False


def test_a_run_that_is_killed_anywhere(scratch: Path) -> None:
    """At whatever line of the file store it dies: the record is whole, or the work is done again.

    No later run meets a part of a record.
    """
    make_app(load(Suite(scratch, "").etc))
    calls = scratch / "calls"

    @once("{number}")
    def work(number: int) -> str:
        with open(calls, "a", encoding="ascii") as file:
            file.write(f"{number}\n")
        return f"result {number}"

    line = 0
    while killed_at(line, partial(work, line), (file_locks.__file__,)):
        assert work(line) == f"result {line}"
        assert work(line) == f"result {line}"
        line += 1
    assert line > 30
    counted = calls.read_text().split()
    assert all(1 <= counted.count(str(number)) <= 2 for number in range(line))


def test_old_records_are_removed(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that never comes again leaves no file for ever; a record in its time stays."""
    monkeypatch.setattr(file_locks, "_SWEEP", 0.0)
    make_app(load(Suite(scratch, "").etc))
    locks = scratch / "state" / "locks"
    once("a", keep=1)(lambda: 1)()
    until(lambda: file_locks.record(next(locks.glob("*.done"))) is None, what="its end")
    once("b")(lambda: 1)()
    assert len(list(locks.glob("*.done"))) == 1
    assert not list(locks.glob("*.lock"))


def test_a_run_that_lost_its_lock(server: Any) -> None:
    """If another run holds it by now, this one says so.

    If nobody does, it is the only run, and is noted.
    """

    @once("x")
    def work(other: bool) -> str:
        (key,) = _records(server)
        server.delete(key)
        if other:
            locks = redis_locks.RedisLocks(_url(server), "test")
            locks.step("take", [key.decode(), "token"], "ab", "{}", 9000)
        return "done"

    with pytest.raises(LockLost, match="another run may do the work, too"):
        work(True)
    server.flushdb()
    assert work(False) == "done"
    assert len(_records(server)) == 1
    assert work(False) == "done"


def test_work_whose_end_cannot_be_noted_has_its_result(server: Any) -> None:
    """Redis refuses the note: the caller gets its result. A later run does the work again.

    It can do so when the lease of the first has ended.
    """
    calls = []

    @once("x")
    def work() -> int:
        calls.append(1)
        if len(calls) == 1:
            server.config_set("maxmemory", "1")
        return len(calls)

    try:
        assert work() == 1
        with pytest.raises(NoLockStore, match="memory"):
            once("y")(lambda: None)()
    finally:
        server.config_set("maxmemory", "0")
    with pytest.raises(Busy):
        work()
    until(lambda: not _records(server), what="the end of the lease")
    assert [work(), work()] == [2, 2]


def _records(server: Any) -> list[bytes]:
    return [name for name in server.keys("warren.lock.*") if not name.endswith(b".token")]


def _url(server: Any) -> str:
    known = server.connection_pool.connection_kwargs
    return f"redis://:{known['password']}@{known['host']}:{known['port']}/{known['db']}"
