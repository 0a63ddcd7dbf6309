"""`warren web` while its broker, its results or its disk fail, and after a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis

from support.disk import fill, small_disk
from support.servers import redis_server
from support.suite import Suite, broker_section
from support.wait import TIMEOUT, end_of, until
from support.web import TOKEN, Web, connected, everything


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does not run for the time of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def listening(web: Web) -> Iterator[subprocess.Popen[bytes]]:
    """The web daemon, ready."""
    before = len(web.suite.logged("web", "ready"))
    with web.suite.running("web") as daemon:
        until(lambda: len(web.suite.logged("web", "ready")) > before, TIMEOUT, "ready in web.log")
        yield daemon


@pytest.fixture
def server(scratch: Path) -> Iterator[tuple[str, int]]:
    """A Redis of the test's own: its URL and its process."""
    with redis_server(scratch) as url:
        yield url, int(redis.Redis.from_url(url).info()["process_id"])


def test_a_redis_that_hangs(suite: Suite, server: tuple[str, int]) -> None:
    """Requests get 503, others are served, the heartbeat lives, a stop waits for nobody.

    Afterwards the same key sends its task once. A request that has waited for long is not sent.
    """
    url, pid = server
    web = Web(suite, broker_section(suite.directory, url))
    ran = suite.directory / "ran"
    with listening(web) as daemon:
        assert web.send("shop.add", 1).status_code == 202
        with stopped(pid), ThreadPoolExecutor(80) as pool:
            keyed = pool.submit(web.send, "shop.count", str(ran), Idempotency_Key="k")
            sent = [pool.submit(web.send, "shop.add", 1) for _ in range(40)]
            states = [pool.submit(web.ask, "GET", "/tasks/x") for _ in range(10)]
            assert web.ask("GET", "/tasks").status_code == 200
            before = suite.heartbeat("web")
            until(lambda: suite.heartbeat("web") != before, TIMEOUT, "a heartbeat")
            assert not any(each.done() for each in states)
            assert {each.result().status_code for each in (keyed, *states, *sent)} == {503}
            late = [each for each in sent if "did not take other" in each.result().text]
            assert late
            read = f"GET /tasks/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            post = read.replace("GET /tasks/x", "POST /tasks/shop.steps")
            post += 'Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{"args": [1]}'
            asked = [connected(web, text) for text in (f"{read}\r\n", post) for _ in range(8)]
            assert web.ask("GET", "/tasks").status_code == 200  # it has read those before
            daemon.send_signal(signal.SIGTERM)
            assert end_of(daemon) == 0
            assert {everything(each)[:12] for each in asked} == {b"HTTP/1.1 503"}
    with listening(web), suite.running("worker", "a"):
        first = web.send("shop.count", str(ran), Idempotency_Key="k").json()["task_id"]
        until(lambda: web.state(first)["ended"], TIMEOUT, "the task")
        assert web.send("shop.count", str(ran), Idempotency_Key="k").json()["task_id"] == first
    assert ran.read_text(encoding="utf-8") == "ran\n"


def test_a_kill_between_the_key_and_its_task(suite: Suite, server: tuple[str, int]) -> None:
    """The next request with this key sends the task under the stored id, and it runs once."""
    url, pid = server
    web = Web(suite, broker_section(suite.directory, url))
    ran = suite.directory / "ran"
    with listening(web) as daemon, stopped(pid), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(web.send, "shop.count", str(ran), Idempotency_Key="k")
        stored = until(lambda: _stored(suite), TIMEOUT, "the key on the disk")
        daemon.kill()
        end_of(daemon)
        assert asked.exception() is not None
    with listening(web), suite.running("worker", "a"):
        first = web.send("shop.count", str(ran), Idempotency_Key="k").json()["task_id"]
        assert first == stored
        until(lambda: web.state(first)["ended"], TIMEOUT, "the task")
    assert ran.read_text(encoding="utf-8") == "ran\n"


def _stored(suite: Suite) -> str:
    """The id of the task of the only key."""
    path = suite.directory / "state" / "web" / "keys.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as keys:
        row = keys.execute("SELECT task_id FROM keys").fetchone()
    return str(row[0]) if row else ""


def test_a_full_disk(suite: Suite) -> None:
    """A request with a key gets 503 and sends nothing; others are served; then it is sent."""
    web = Web(suite)
    with small_disk(suite.directory / "state" / "web", "1m") as disk, listening(web):
        assert web.send("shop.add", 1, Idempotency_Key="before").status_code == 202
        filler = fill(disk)
        codes = [web.send("shop.add", 1, Idempotency_Key=f"k{n}").status_code for n in range(60)]
        assert codes[-1] == 503
        assert web.send("shop.add", 1).status_code == 202
        before = len(suite.logged("web", "web_sent"))
        assert web.send("shop.add", 1, Idempotency_Key="k59").status_code == 503
        assert len(suite.logged("web", "web_sent")) == before
        filler.unlink()
        assert web.send("shop.add", 1, Idempotency_Key="k59").status_code == 202


def test_what_a_task_puts_in_the_place_of_a_file(suite: Suite) -> None:
    """A fifo and a link are no file; a huge one comes whole; a changed link is refused."""
    web = Web(suite)
    place = suite.directory / "state" / "published" / "id"
    place.mkdir(parents=True)
    (place / "huge").touch()
    os.truncate(place / "huge", 200_000_000)
    for name in ("fifo", "link"):
        (place / name).touch()
    with listening(web):
        links = {each["name"]: each["url"] for each in web.state("id")["files"]}
        for name in ("fifo", "link"):
            (place / name).unlink()
        os.mkfifo(place / "fifo")
        (place / "link").symlink_to("/etc/passwd")
        assert [each["name"] for each in web.state("id")["files"]] == ["huge"]
        assert web.ask("GET", links["fifo"]).status_code == 404
        assert web.ask("GET", links["link"]).status_code == 404
        with web.ask("GET", links["huge"], stream=True) as answer:
            assert sum(map(len, answer.iter_content(2**20))) == 200_000_000
        head = web.ask("HEAD", links["huge"])
        assert (head.status_code, head.headers["Content-Length"]) == (200, "200000000")
        for changed in (
            links["huge"].replace("huge", "link"),
            links["huge"].replace("/id/", "/..%2fid/"),
            links["huge"].replace("until=", "until=9"),
            links["huge"][:-1],
            links["huge"].replace("huge", "%00"),
            links["huge"].split("?")[0],
        ):
            assert web.ask("GET", changed).status_code in (403, 404), changed
