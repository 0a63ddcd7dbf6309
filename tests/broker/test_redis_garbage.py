"""Garbage in the keys of kombu's bindings and messages costs no sender and no worker.

It is moved, and named once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from support.figures import Figure
from support.suite import Suite, broker_section
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.cli.status_verb import asked
from warren.config import load

JOBS = """
from celery import shared_task

@shared_task(name="jobs.add")
def add(a, b):
    return a + b
"""
BINDINGS = "_kombu.binding.warren"
SEP = "\x06\x16"
DEEP = b"[" * 100_000 + b"]" * 100_000
GOOD = {
    "body": "x",
    "headers": {},
    "properties": {"delivery_info": {"exchange": "", "routing_key": "default"}},
}
#: Members of an exchange's set that are no bindings.
MEMBERS: list[bytes | str] = [b"", b"x", b"\xff\xfe" * 50, DEEP, "x" * 5_000_000]
MEMBERS += [f"a{SEP}b", f"a{SEP}b{SEP}c{SEP}d", f"#{SEP}#{SEP}"]
MEMBERS += [f"#{SEP}#{SEP}{kept}" for kept in ("unacked", "unacked_index", BINDINGS)] + [
    f"{'#.' * 2000}{SEP}.{SEP}default"
]
#: Members that are bindings, with a pattern that is no regular expression, and one that runs for
#: ever.
FOUL_PATTERNS = [
    f"other.*{SEP}({SEP}other",
    f"#.#.#.#.#.#.#.z{SEP}^(([a-z])+.)+[A-Z]([a-z])+${SEP}default",
]
#: Entries of the hash of unacknowledged messages that are none.
ENTRIES: list[bytes | str] = [
    b"",
    b"\xff",
    b"x",
    DEEP,
    "[1, 2]",
    "[1, 2, 3]",
    '{"a": 1}',
    "[{}, 5, {}]",
]
ENTRIES += [json.dumps([GOOD, "", kept]) for kept in ("unacked", "", BINDINGS)]
ENTRIES += [json.dumps([GOOD, "warren", "leads.nowhere"]), "x" * 80_000_000]
#: What may be published where workers listen for remote control.
PUBLISHED = [
    b"x",
    b"\xff",
    DEEP,
    b"5",
    b"null",
    b"true",
    b'"x"',
    b"[]",
    b"{}",
    b"[1]",
    b'{"properties": 5}',
    b"x" * 5_000_000,
]
PUBLISHED += [
    json.dumps({"method": method, "arguments": arguments, **more}).encode()
    for method, arguments in (("ping", 5), (["ping"], {}), ("ping", {}), ("inspect", {"x": "y"}))
    for more in (
        {},
        {"reply_to": 5, "ticket": 7},
        {"reply_to": {"exchange": "warren", "routing_key": "default"}, "ticket": "x"},
        {"reply_to": {"exchange": "", "routing_key": "unacked"}, "ticket": "x"},
        {"destination": {"a": 1}, "pattern": "(", "matcher": "pcre"},
    )
]
#: Every key that kombu reads, and its type.
KEYS = {
    BINDINGS: "set",
    "_kombu.binding_permanent.warren": "set",
    "default": "list",
    "default\x06\x163": "list",
}
KEYS |= {"unacked": "hash", "unacked_index": "zset", "unacked_later": "zset"}


@pytest.fixture
def database(redis_url: str) -> Iterator[Any]:
    """A database of its own, empty."""
    found: Redis = Redis.from_url(redis_url.replace("/0", "/9"))
    found.flushdb()
    yield found
    found.flushdb()


@pytest.fixture
def suite(scratch: Path, redis_url: str, database: Any) -> Suite:
    """One worker on that database."""
    section = broker_section(scratch, redis_url.replace("/0", "/9"))
    made = Suite(scratch, section + "[worker:a]\nconcurrency = 1\n", modules="jobs")
    made.module("jobs", JOBS)
    return made


def plant(database: Any) -> None:
    """Put garbage beside what is right in every key."""
    database.sadd(BINDINGS, *MEMBERS, *FOUL_PATTERNS)
    for number, content in enumerate(ENTRIES):
        database.hset("unacked", f"bad-{number}", content)
        database.zadd("unacked_index", {f"bad-{number}": number + 1})
    database.hset("unacked", b"\xff\xff", "x")
    database.zadd("unacked_index", {b"\xff\xff": 1, "nothing": 1})
    database.zadd("unacked_later", {"bad-0": 1, b"\xff\xff": 1, "nothing": 1})
    database.set("unacked_mutex", "held for ever")


def test_garbage_that_a_worker_finds_at_its_start(suite: Suite, database: Any) -> None:
    """The worker starts, requeues the one good message among the garbage, and runs tasks.

    It moves the rest, once.
    """
    app: Any = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
    lost = app.send_task("jobs.add", [1, 1])
    whole = json.loads(database.rpop("default"))
    database.hset("unacked", "good", json.dumps([whole, "", "default"]))
    database.zadd("unacked_index", {"good": 1})
    plant(database)
    with suite.running("worker", "a") as worker:
        assert result_of(lost) == 2
        assert result_of(make_app(load(suite.etc)).send_task("jobs.add", [1, 2])) == 3
        until(
            lambda: database.hlen("warren.rejected.unacked") == len(ENTRIES) + 1,
            what="every bad entry moved",
        )
        assert worker.poll() is None
    said = Counter(line["key"] for line in suite.logged("worker", "key_rejected"))
    assert said == {"unacked": len(ENTRIES) + 1, "unacked_mutex": 1, BINDINGS: 1}
    assert database.scard("warren.rejected." + BINDINGS) == len(MEMBERS)
    assert set(FOUL_PATTERNS) <= {member.decode() for member in database.smembers(BINDINGS)}
    assert max(len(line["reason"]) for line in suite.logged("worker", "key_rejected")) < 600
    assert (suite.logged("worker", "broker_lost"), suite.logged("worker", "crashed")) == ([], [])


def test_keys_of_another_kind_while_tasks_run(suite: Suite, database: Any) -> None:
    """Their content is moved and named once.

    A sender that was there before, a new one, and the same worker continue.
    """
    app: Any = make_app(load(suite.etc))
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        for key in KEYS:
            database.delete(key)
            database.set(key, "x")
            assert result_of(app.send_task("jobs.add", [3, 4])) == 7
            called = suite.warren("call", "jobs.add", "5", "6", "--wait", "60s")
            assert called.returncode == 0, called.stderr
            assert result_of(app.send_task("jobs.add", [7, 8], priority=3)) == 15
            until(partial(database.get, f"warren.rejected.{key}"), what="it is moved")
            assert database.get(f"warren.rejected.{key}") == b"x"
        assert asked(load(suite.etc))["rejected_keys"] == len(KEYS)
        assert worker.poll() is None
    assert (
        max(Counter(line["key"] for line in suite.logged("worker", "key_rejected")).values()) == 1
    )
    assert (suite.logged("worker", "broker_lost"), suite.logged("worker", "crashed")) == ([], [])


def test_bindings_that_somebody_removed(suite: Suite, database: Any) -> None:
    """A sender that declared its queue before writes the binding again.

    Its task is not lost, and there is no error.
    """
    app: Any = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        database.delete(BINDINGS)
        assert result_of(app.send_task("jobs.add", [3, 4])) == 7


def test_anything_that_is_published(suite: Suite, database: Any) -> None:
    """On the channel of remote control, too, a malformed message ends no worker.

    The worker answers, and runs tasks.
    """
    (suite.etc / "conf.d" / "control.ini").write_text(
        "[worker:a]\nremote_control = true\n", encoding="utf-8"
    )
    suite.write(
        (suite.etc / "warren.ini")
        .read_text("utf-8")
        .removeprefix(suite.head)
        .replace("[worker:a]\nconcurrency = 1\n", "")
    )
    app: Any = make_app(load(suite.etc))
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        for body in PUBLISHED:
            wrapped = {
                **GOOD,
                "body": body.decode("latin-1"),
                "content-type": "application/json",
                "content-encoding": "utf-8",
            }
            for content in (body, json.dumps(wrapped)):
                # Celery listens again after each command that fails.
                until(
                    lambda content=content: database.publish("/9.celery.pidbox", content),  # type: ignore[misc]
                    what="a listener",
                )
        assert until(app.control.ping, what="an answer")
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        assert worker.poll() is None
    assert (suite.logged("worker", "broker_lost"), suite.logged("worker", "crashed")) == ([], [])


def test_an_item_of_any_size(suite: Suite, database: Any, figure: Figure) -> None:
    """What is larger than the limit is read past, and costs no memory.

    It is rejected once, and its beginning is kept.
    """
    (suite.etc / "conf.d" / "size.ini").write_text(
        "[broker]\nlargest_message = 1MB\n", encoding="utf-8"
    )
    app: Any = make_app(load(suite.etc))
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        before = peak(worker.pid)
        database.lpush("default", "x" * 100_000_000)
        line = suite.await_event("worker", "message_rejected")
        assert "found 100000000 with its headers" in line["reason"]
        assert result_of(app.send_task("jobs.add", [3, 4])) == 7
        grown = peak(worker.pid) - before
        assert worker.poll() is None
    figure(
        "memory that an item of 100 MB costs a worker", f"{grown // 1024} MB", "less than the item"
    )
    assert grown < 30_000
    assert len(database.lindex("warren.rejected", 0)) < 10_000
    assert (suite.logged("worker", "broker_lost"), suite.logged("worker", "crashed")) == ([], [])


def peak(pid: int) -> int:
    """Return the most memory that the process had, in kB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])
