"""`warren.unique` with its real stores: files of this host, and Redis."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import current_app

from support.brokers import own_section
from support.contenders import contender, free_after, holder
from support.figures import Figure
from support.forks import child, end, killed_at
from support.suite import Suite, broker_section
from support.wait import let_pass, until
from warren.app.factory import make_app
from warren.config import load
from warren.tasks import file_locks, lock_renewal, redis_locks
from warren.tasks.held_lock import LockLost
from warren.tasks.lock_contention import Busy
from warren.tasks.lock_interface import NoLockStore
from warren.tasks.unique import unique

#: The Redis database of this file.
DATABASE = 13
STORES = ("embedded", "redis")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, scratch: Path) -> str:
    """The current app has this store of locks."""
    make_app(load(Suite(scratch, own_section(request, scratch, DATABASE)).etc))
    return str(request.param)


@pytest.fixture
def server(redis_url: str, scratch: Path) -> Any:
    """The current app has its locks in this Redis."""
    url = redis_url.removesuffix("/0") + f"/{DATABASE}"
    make_app(load(Suite(scratch, broker_section(scratch, url)).etc))
    found = redis.Redis.from_url(url)
    found.flushdb()
    return found


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """A test releases what it takes."""
    yield
    assert not [each for each in file_locks._open if not each.closed]


@pytest.mark.usefixtures("store")
def test_one_alone_is_inside_and_the_other_is_told(scratch: Path) -> None:
    """The other learns process, host and time; the key is free behind the block, and after an
    error.
    """
    pid = holder(scratch, "page")
    with pytest.raises(Busy) as told, unique("page"):
        pass
    os.kill(pid, signal.SIGTERM)
    end(pid)
    assert f"process {pid}" in str(told.value)
    assert told.value.holder["since"].startswith("20")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), unique("again"):
            1 / 0  # noqa: B018
    with unique("a"), unique("b") as lock:
        assert unique.current() is lock
        with pytest.raises(Busy), unique("a", wait=60):  # it would wait for itself
            pass
    assert unique.current() is None


@pytest.mark.usefixtures("store")
def test_threads_exclude_each_other() -> None:
    """Two threads of one process are two callers."""
    with unique("thread"):
        told: list[BaseException] = []

        app = current_app._get_current_object()

        def work() -> None:
            app.set_current()
            try:
                with unique("thread"):
                    pass
            except Busy as busy:
                told.append(busy)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(told) == 1


@pytest.mark.usefixtures("store")
def test_tokens_grow() -> None:
    """Each holder's token is greater than that of the holder before it."""
    tokens = []
    for _ in range(50):
        with unique("token") as lock:
            tokens.append(lock.token)
    assert tokens == sorted(set(tokens))


def test_a_dead_holder_frees_its_lock(store: str, scratch: Path, figure: Figure) -> None:
    """Within 10 s on Redis, and at once on one host."""
    took = []
    for _ in range(2):
        pid = holder(scratch, "dead")
        os.kill(pid, signal.SIGKILL)
        end(pid)
        took.append(free_after("dead"))
    figure(f"a dead holder's lock is free, {store}", max(took), "at most 10 s")


def test_a_holder_that_works_longer_than_the_lease_keeps_its_lock(server: Any) -> None:
    """It is renewed for as long as its block lasts, and no longer."""
    left: list[int] = []
    with unique("long") as lock:
        (key,) = _locks(server)
        end_at = time.monotonic() + redis_locks.LEASE + 3
        while time.monotonic() < end_at:
            left.append(server.pttl(key))
            assert left[-1] > 0
            assert lock.held
            let_pass(0.2)
    assert any(later > before for before, later in pairwise(left))
    assert not server.exists(key)


def _locks(server: Any) -> list[bytes]:
    return [key for key in server.keys("warren.lock.*") if not key.endswith(b".token")]


def test_a_stopped_holder_notices_that_it_lost_its_lock(server: Any, scratch: Path) -> None:
    """It runs again after the lease, and knows before any renewal.

    The next holder's token is greater.
    """
    said, ready = scratch / "said", scratch / "ready"

    def work() -> None:
        try:
            with unique("stopped") as lock:
                ready.write_text(str(lock.token), encoding="ascii")
                while lock.held:
                    time.sleep(0.01)  # load: the work
                with pytest.raises(LockLost):
                    lock.check()
        except LockLost as lost:
            said.write_text(str(lost), encoding="utf-8")

    pid = child(work)
    until(lambda: ready.exists() and ready.read_text(), what="the holder")
    os.kill(pid, signal.SIGSTOP)
    until(lambda: not _locks(server), what="the end of its lease")
    with unique("stopped") as lock:
        os.kill(pid, signal.SIGCONT)
        assert end(pid) == 0
        assert lock.held
        assert lock.token > int(ready.read_text())
    assert "the lock was lost before the end of the work" in said.read_text()


def test_a_lock_that_redis_has_lost_is_noticed(server: Any) -> None:
    """After FLUSHALL, as after a restart without persistence, the holder learns of it.

    Tokens still grow.
    """
    flushed = unique("flushed")
    lock = flushed.__enter__()
    server.flushdb()
    until(lambda: not lock.held, what="the loss to be noticed")
    with pytest.raises(LockLost):
        flushed.__exit__(None, None, None)
    with unique("flushed") as again:
        assert again.token > lock.token


def test_a_take_whose_answer_was_lost_finds_its_own_lock(server: Any) -> None:
    """The script is run twice with the same owner: the second finds the lock of the first."""
    locks = redis_locks.RedisLocks(_url(server), "test")
    keys = ["warren.lock.test.x", "warren.lock.test.token"]
    first = locks.step("take", keys, "ab", "{}", 9000)
    assert first[0] == 1
    assert locks.step("take", keys, "ab", "{}", 9000) == first
    assert locks.step("take", keys, "cd", "{}", 9000)[0] == 0


def _url(server: Any) -> str:
    known = server.connection_pool.connection_kwargs
    return f"redis://:{known['password']}@{known['host']}:{known['port']}/{known['db']}"


def test_a_run_that_was_cut_off_leaves_no_lock_that_is_renewed(server: Any) -> None:
    """Nobody uses the lock any more: its lease ends."""
    unique("cut").__enter__()
    until(lambda: not _locks(server), what="the end of the lease")
    with unique("cut"):
        pass


@pytest.mark.usefixtures("store")
def test_a_forked_process_neither_holds_nor_releases() -> None:
    """In a task that forks the lock is that of the process that took it."""
    with unique("fork") as lock:

        def work() -> None:
            assert not lock.held
            lock.__exit__(None, None, None)

        assert end(child(work)) == 0
        assert lock.held
    free_after("fork")


def test_a_file_lock_ends_with_its_process_though_a_fork_lives(
    scratch: Path, request: pytest.FixtureRequest
) -> None:
    """A helper process of a dead task keeps no lock."""
    make_app(load(Suite(scratch, "").etc))
    helper = scratch / "helper"

    def work() -> None:
        with unique("helper"):
            other = child(signal.pause)
            helper.write_text(str(other), encoding="ascii")
            signal.pause()

    pid = child(work)
    other = int(until(lambda: helper.exists() and helper.read_text(), what="the helper"))
    request.addfinalizer(lambda: os.kill(other, signal.SIGKILL))
    os.kill(pid, signal.SIGKILL)
    end(pid)
    free_after("helper")


def test_a_holder_that_is_killed_anywhere(scratch: Path) -> None:
    """At whatever line of a file lock its holder dies, the next caller gets the lock."""
    make_app(load(Suite(scratch, "").etc))
    place = (file_locks.__file__,)

    def work() -> None:
        with unique("anywhere"):
            pass

    line = 0
    while killed_at(line, work, place):
        with unique("anywhere"):
            pass
        line += 1
    assert line > 20


def test_twenty_processes_with_kills(store: str, scratch: Path) -> None:
    """One alone is inside at any time, also when processes are killed at random moments."""
    chance = random.Random(1)
    keys, kills = "abcde", 15
    running = {contender(scratch, keys[n % 5], 12, n): keys[n % 5] for n in range(20)}
    try:
        until(lambda: (scratch / "entries").exists(), what="the first one inside")
        for number in range(kills):
            let_pass(chance.random() * 0.3)
            pid = chance.choice(sorted(running))
            os.kill(pid, signal.SIGKILL)  # it may have ended: its number stays until it is waited
            end(pid)
            key = running.pop(pid)
            running[contender(scratch, key, 3, 100 + number)] = key
        for pid in list(running):
            assert end(pid) == 0
            del running[pid]
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)
            end(pid)
    violations = scratch / "violations"
    assert not violations.exists(), violations.read_text()
    assert len((scratch / "entries").read_text().split()) >= 20 * 3
    assert store in STORES


def test_a_value_of_another_program_is_a_refusal(server: Any) -> None:
    """A key that somebody else has set excludes callers, and is told without a holder."""
    with unique("foreign"):
        (key,) = _locks(server)
    server.set(key, "x")
    with pytest.raises(Busy, match="a program on host unknown"), unique("foreign"):
        pass


def test_a_redis_that_does_not_answer_is_an_error_with_its_reason(
    scratch: Path,
) -> None:
    """Nothing runs without its lock; a holder keeps its lock for the rest of the lease."""
    make_app(load(Suite(scratch, "[broker]\nurl = redis://127.0.0.1:1/0\n").etc))
    with pytest.raises(NoLockStore, match=r"cannot be used: .*refused.*; try again later"):
        unique("away").__enter__()


def test_rabbitmq_alone_has_no_store_for_several_hosts(scratch: Path) -> None:
    """The error names the two remedies. `scope='host'` works, among processes of this host."""
    make_app(load(Suite(scratch, "[broker]\nurl = amqp://127.0.0.1:1//\n").etc))
    with pytest.raises(NoLockStore, match=r"name a Redis in \[results\] url, or give scope='host'"):
        unique("alone").__enter__()
    with unique("alone", scope="host"), pytest.raises(Busy), unique("alone", scope="host"):
        pass


def test_a_redis_of_results_is_the_store_on_rabbitmq(
    scratch: Path, server: Any, redis_url: str
) -> None:
    """It is the one that all hosts share."""
    url = redis_url.removesuffix("/0") + f"/{DATABASE}"
    ini = f"[broker]\nurl = amqp://127.0.0.1:1//\n[results]\nurl = {url}\n"
    make_app(load(Suite(scratch, ini).etc))
    with unique("results"):
        assert len(_locks(server)) == 1
    assert lock_renewal.INTERVAL * 5 < redis_locks.LEASE < 10
