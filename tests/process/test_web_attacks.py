"""`warren web` against clients, tasks and disks that do what they should not."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from support.suite import Suite
from support.wait import TIMEOUT, end_of, until
from support.web import OTHER, TOKEN, Web, connected, everything

TASKS = """
import os
import sys
import time
from celery import Task, shared_task

class Leaving(Task):
    def apply_async(self, *args, **kwargs):
        sys.exit("the project's code ends the process")

class Raising(Task):
    def apply_async(self, *args, **kwargs):
        raise RuntimeError("no")

@shared_task(name="shop.leave", base=Leaving)
def leave():
    pass

@shared_task(name="shop.raise", base=Raising)
def raises():
    pass

@shared_task(name="shop.own", bind=True)
def own(self, until):
    self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
    while not os.path.exists(until):
        time.sleep(0.1)

@shared_task(name="shop.odd \\u2603 name?x=1")
def odd():
    return 1

@shared_task(name="shop.size")
def size(text):
    return len(text)

@shared_task(name="shop.give")
def give(what):
    return {"nan": float("nan"), "large": "x" * 8_000_000, "deep": deep()}[what]

def deep():
    found = float("nan")
    for _ in range(150):
        found = [found]
    return found
"""
HEADER = f"Authorization: Bearer {TOKEN}\r\n"


@pytest.fixture
def web(suite: Suite) -> Web:
    """The settings of a web daemon."""
    made = Web(suite)
    suite.module("shop_more", TASKS)
    suite.head = suite.head.replace("modules = shop_tasks", "modules = shop_tasks, shop_more")
    suite.write(made.ini)
    return made


@contextmanager
def listening(web: Web, worker: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """The web daemon, ready; and a worker, if wanted."""
    with ExitStack() as stack:
        if worker:
            stack.enter_context(web.suite.running("worker", "a"))
            web.suite.await_event("worker", "ready")
        before = len(web.suite.logged("web", "ready"))
        daemon = stack.enter_context(web.suite.running("web"))
        until(lambda: len(web.suite.logged("web", "ready")) > before, TIMEOUT, "ready in web.log")
        yield daemon


def test_a_task_class_that_ends_the_process(web: Web) -> None:
    """Its SystemExit is an answer of 500, with a key and without; others are still served."""
    with listening(web) as daemon:
        for key in ({}, {"Idempotency_Key": "k"}):
            assert web.send("shop.leave", **key).status_code == 500
            raised = web.send("shop.raise", **{name: f"{text}2" for name, text in key.items()})
            assert raised.status_code == 500
            assert raised.json()["detail"] == "the sending of shop.raise failed: RuntimeError"
            assert web.send("shop.add", 1).status_code == 202
        assert daemon.poll() is None


def test_clients_that_send_nothing(web: Web) -> None:
    """2,000 of them: others are served meanwhile, and each is closed in its time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4000:
        pytest.skip("more files than this user may open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with listening(web) as daemon, ExitStack() as stack:
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (1024, hard))
            parts = ["", "GET / HT", f"GET / HTTP/1.1\r\n{HEADER}", "POST /tasks/shop.add HTTP/1.1"]
            sockets = [
                stack.enter_context(connected(web, parts[number % len(parts)]))
                for number in range(2000)
            ]
            assert web.send("shop.add", 1).status_code == 202
            opened = len(os.listdir(f"/proc/{daemon.pid}/fd"))
            assert opened < 700, opened
            before = web.suite.heartbeat("web")
            until(lambda: web.suite.heartbeat("web") != before, TIMEOUT, "a heartbeat")
            for each in sockets:
                everything(each)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_client_that_drips(web: Web) -> None:
    """A byte now and then keeps no connection, not before a head and not after an answer."""
    with listening(web):
        for begun in ("", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"):
            with connected(web, begun) as connection:
                until(lambda: _refuses(connection, b"G"), TIMEOUT, "a closed connection", every=0.1)


def _refuses(connection: socket.socket, text: bytes) -> bool:
    """Whether the other side has closed the connection and does not take the text."""
    try:
        connection.sendall(text)
    except OSError:
        return True
    return False


def test_two_lengths_of_one_body(web: Web) -> None:
    """What follows such a request on its connection is not read: a proxy may see another end."""
    hidden = f"GET /tasks HTTP/1.1\r\nHost: x\r\n{HEADER}\r\n"
    with listening(web):
        for name in ("shop.add", "none"):
            head = f"POST /tasks/{name} HTTP/1.1\r\nHost: x\r\n{HEADER}"
            head += "Content-Type: application/json\r\nContent-Length: 4\r\n"
            head += "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            found = everything(connected(web, head + hidden))
            assert found.count(b"HTTP/1.1 ") == 1, found
        for head in (
            "Content-Length: 4\r\nContent-Length: 5\r\n",
            "Content-Length: +4\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "A: b\x00\r\n",
            f"A: {'x' * 200_000}\r\n",
        ):
            found = everything(connected(web, f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n{hidden}"))
            assert found.count(b"HTTP/1.1 ") <= 1, head
        assert web.ask("GET", "/tasks").status_code == 200
    assert len(web.suite.log("web")) < 20


def test_requests_one_after_the_other(web: Web) -> None:
    """Pipelined, chunked, HEAD and OPTIONS: each has its own answer."""
    body = '7\r\n{"args"\r\n6\r\n: [1]}\r\n0\r\n\r\n'
    with listening(web):
        text = f"HEAD /tasks HTTP/1.1\r\nHost: x\r\n{HEADER}\r\n"
        text += f"POST /tasks/shop.add HTTP/1.1\r\nHost: x\r\n{HEADER}Transfer-Encoding: chunked"
        text += f"\r\nContent-Type: application/json\r\n\r\n{body}"
        text += f"HEAD /tasks/x/events HTTP/1.1\r\nHost: x\r\n{HEADER}\r\n"
        text += "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"
        text += f"GET /tasks HTTP/1.1\r\nHost: x\r\n{HEADER}Connection: close\r\n\r\n"
        codes = re.findall(rb"HTTP/1.1 (\d+)", everything(connected(web, text)))
    assert codes == [b"200", b"202", b"200", b"404", b"200"]


def test_clients_that_hang_up(web: Web) -> None:
    """In the middle of a body: nothing is sent, and the log says nothing of it."""
    head = f"POST /tasks/shop.add HTTP/1.1\r\nHost: x\r\n{HEADER}Content-Length: 13\r\n"
    head += "Content-Type: application/json\r\n\r\n"
    with listening(web):
        for length in range(13):
            connected(web, head + '{"args": [1]}'[:length]).close()
        assert web.send("shop.add", 1).status_code == 202
    assert len(web.suite.logged("web", "web_sent")) == 1
    assert not web.suite.logged("web", "record")


def test_one_key_at_one_moment(web: Web) -> None:
    """Of many requests one task is sent; the others get its id, or 409."""
    ran = web.suite.directory / "ran"
    with listening(web, worker=True):
        with ThreadPoolExecutor(16) as pool:
            answers = list(
                pool.map(lambda _: web.send("shop.count", str(ran), Idempotency_Key="k"), range(64))
            )
        assert {each.status_code for each in answers} <= {202, 409}
        (sent,) = {each.json()["task_id"] for each in answers if each.status_code == 202}
        until(lambda: web.state(sent)["ended"], TIMEOUT, "the task")
    assert ran.read_text(encoding="utf-8") == "ran\n"


def test_results_that_are_odd(web: Web) -> None:
    """Progress of another form, NaN, depth, 8 MB, and arguments of exactly the largest size."""
    told = web.suite.directory / "told"
    with listening(web, worker=True):
        odd = web.send("shop.odd%20%E2%98%83%20name%3Fx=1")
        assert (odd.status_code, odd.json()["task"]) == (202, "shop.odd \u2603 name?x=1")
        body = json.dumps({"args": ["x" * (65536 - 14)]}).encode()
        assert len(body) == 65536
        head = {"Content-Type": "application/json"}
        assert (
            web.ask("POST", "/tasks/shop.size", data=body + b" ", headers=head).status_code == 413
        )
        full = web.ask("POST", "/tasks/shop.size", data=body, headers=head).json()["task_id"]
        given = {what: web.send("shop.give", what).json()["task_id"] for what in ("nan", "deep")}
        large = web.send("shop.give", "large").json()["task_id"]
        own = web.send("shop.own", str(told)).json()["task_id"]
        until(lambda: web.state(own)["state"] == "PROGRESS", TIMEOUT, "the progress")
        assert web.state(own) == {"task_id": own, "state": "PROGRESS", "ended": False}
        told.touch()
        assert web.state(full)["result"] == 65536 - 14
        assert web.state(given["nan"])["result"] == "nan"
        assert web.ask("GET", f"/tasks/{given['deep']}").status_code in (200, 503)
        until(lambda: web.state(large)["ended"], TIMEOUT, "the large result")
        assert len(web.state(large)["result"]) == 8_000_000
        with web.ask("GET", f"/tasks/{large}/events", stream=True) as stream:
            assert len(stream.content) > 8_000_000


def test_streams_of_clients_that_vanish(web: Web) -> None:
    """No more streams than allowed, also when all begin at once; each is given back."""
    head = "GET /tasks/x/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
    with listening(web) as daemon:
        for _ in range(2):
            opened = [connected(web, f"{head}{TOKEN}\r\n\r\n") for _ in range(60)]
            codes = [each.recv(12) for each in opened]
            assert codes.count(b"HTTP/1.1 200") == 25
            assert codes.count(b"HTTP/1.1 503") == 35
            other = connected(web, f"{head}{OTHER}\r\n\r\n")
            assert other.recv(12) == b"HTTP/1.1 200"
            for each in (*opened, other):
                each.close()

            def free() -> bool:
                with connected(web, f"{head}{TOKEN}\r\n\r\n") as each:
                    return each.recv(12) == b"HTTP/1.1 200"

            until(free, TIMEOUT, "a stream", every=0.2)
            until(lambda: _streams(web, daemon) == 0, TIMEOUT, "no stream", every=0.2)
        kept = [connected(web, f"{head}{TOKEN}\r\n\r\n") for _ in range(25)]
        assert {each.recv(12) for each in kept} == {b"HTTP/1.1 200"}
        daemon.send_signal(signal.SIGTERM)
        assert end_of(daemon) == 0
        for each in kept:
            everything(each)


def _streams(web: Web, daemon: subprocess.Popen[bytes]) -> int:
    before = len(web.suite.logged("web", "state_dumped"))
    daemon.send_signal(signal.SIGUSR1)
    until(lambda: len(web.suite.logged("web", "state_dumped")) > before, TIMEOUT, "a dump")
    found: int = web.suite.logged("web", "state_dumped")[-1]["streams"]
    return found
