"""Requests to a running `warren web` that its own description allows, and others."""

from __future__ import annotations

import errno
import json
import random
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, configuration, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.suite import Suite
from support.wait import TIMEOUT, until
from support.web import TOKEN, Web

TASKS = """
from celery import shared_task

@shared_task(name="fuzz.add")
def add(x, y=0):
    return x + y

@shared_task(name="fuzz.any")
def anything(*args, **kwargs):
    return [args, kwargs]

@shared_task(name="fuzz.odd \\u2603 ?#%&")
def odd(text=""):
    raise ValueError(text)
"""
#: Tasks that may be sent, and some that may not.
NAMES = ["fuzz.add", "fuzz.any", "fuzz.odd \u2603 ?#%&", "private.wipe", "shop.add", "celery.chord"]
_GOOD, _BAD = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_HEAD = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n"
_BODY = '{"args": [1]}'
#: Requests as bytes, of which `raw_requests` makes wrong ones.
_RAW = [
    f"GET /tasks HTTP/1.1\r\n{_HEAD}\r\n",
    f"GET /tasks/id%20%2e HTTP/1.0\r\n{_HEAD}\r\n",
    f"GET /files/id/name?until=1&signature=0 HTTP/1.1\r\n{_HEAD}\r\n",
    f"POST /tasks/fuzz.add HTTP/1.1\r\n{_HEAD}Content-Type: application/json\r\n"
    f"Idempotency-Key: k\r\nContent-Length: {len(_BODY)}\r\n\r\n{_BODY}",
    f"POST /tasks/fuzz.add HTTP/1.1\r\n{_HEAD}Content-Type: application/json\r\n"
    f"Transfer-Encoding: chunked\r\n\r\n{len(_BODY):x}\r\n{_BODY}\r\n0\r\n\r\n",
]
_PARTS = [
    b"\r\n",
    b"\n",
    b"\x00",
    b"\xff",
    b" ",
    b":",
    b"%",
    b"Content-Length: 1\r\n",
    b"x" * 70000,
]


@dataclass
class Outcome:
    """The answers: how many there were of each status, and what was wrong with others."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def server_errors(self) -> int:
        """How many answers had a status of 500 or more."""
        return sum(number for status, number in self.statuses.items() if status >= 500)


@contextmanager
def fuzzed(suite: Suite) -> Iterator[Web]:
    """A worker and a web daemon that may send the tasks above; and what must hold at the end."""
    web = Web(suite)
    suite.module("fuzz_tasks", TASKS)
    suite.head = suite.head.replace("modules = shop_tasks", "modules = shop_tasks, fuzz_tasks")
    suite.write(web.ini.replace("tasks = shop.*", "tasks = fuzz.*\nrate = 1000000/s"))
    with suite.running("worker", "a"), suite.running("web") as daemon:
        suite.await_event("web", "ready")
        suite.await_event("worker", "ready")
        yield web
        before = suite.heartbeat("web")
        until(lambda: suite.heartbeat("web") != before, TIMEOUT, "a heartbeat")
        sent = web.send("fuzz.add", 2, 3).json()["task_id"]
        until(lambda: web.state(sent)["ended"], 10 * TIMEOUT, "a task behind all others")
        assert daemon.poll() is None
        assert web.state(sent)["result"] == 5
    names = {line["task"] for line in suite.logged("web", "web_sent")}
    assert names <= set(NAMES[:3]), names
    begun = {line.get("task") for line in suite.log("worker") if "task_id" in line}
    assert "fuzz.add" in begun
    assert not begun & set(NAMES[3:]), begun
    for path in (suite.directory / "log").iterdir():
        assert TOKEN not in path.read_text(encoding="utf-8"), path


def described_requests(web: Web, number: int, first: int, home: Path) -> Outcome:
    """The answers to about so many requests, half of which break the description.

    first: the number that they are drawn from. home: the directory for what Hypothesis stores.
    """
    configuration.set_hypothesis_home_dir(home)
    outcome = Outcome()
    session = requests.Session()
    headers = {"Authorization": f"Bearer {TOKEN}"}

    @seed(first)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_cases(web))
    def ask(case: schemathesis.Case[Any]) -> None:
        response = case.call(base_url=web.url, session=session, headers=headers, timeout=TIMEOUT)
        outcome.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=_CHECKS)
        except Exception as error:  # noqa: BLE001  each is reported, and the next follows
            outcome.wrong.append(str(error)[:2000])

    with session:
        ask()
    return outcome


def _cases(web: Web) -> st.SearchStrategy[schemathesis.Case[Any]]:
    description: dict[str, Any] = requests.get(f"{web.url}/openapi.json", timeout=TIMEOUT).json()
    del description["paths"]["/tasks/{task}/events"]  # an answer that does not end
    del description["security"]  # each request has the token
    schema = schemathesis.openapi.from_dict(description, config=schemathesis.Config())
    found = []
    for each in schema.get_all_operations():
        operation: Any = each.ok()  # type: ignore[union-attr]  # the description is no error
        found.append(operation.as_strategy(_GOOD))
        if operation.path == "/tasks":  # it has nothing that could be wrong
            continue
        found.append(operation.as_strategy(_BAD))
        if operation.method == "post":
            # Names that exist; those that are drawn never do.
            names = [{"task": name} for name in NAMES]
            found += [operation.as_strategy(_GOOD, path_parameters=name) for name in names]
            found += [operation.as_strategy(_BAD, path_parameters=name) for name in names]
    return st.one_of(found)


def raw_requests(web: Web, number: int, first: int) -> Outcome:
    """The answers to requests of which bytes were changed, removed or added.

    No answer is good too: the status is 0 then.
    """
    chance, outcome = random.Random(first), Outcome()
    for _ in range(number):
        text = _changed(chance, bytearray(chance.choice(_RAW).encode("ascii")))
        answer = _answer(web, text)
        status = answer[9:12]
        if not answer:
            outcome.statuses[0] += 1
        elif answer[:9] in (b"HTTP/1.1 ", b"HTTP/1.0 ") and status.isdigit():
            outcome.statuses[int(status)] += 1
        else:
            outcome.wrong.append(repr((text, answer))[:2000])
    return outcome


def _changed(chance: random.Random, text: bytearray) -> bytes:
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(text) + 1)
        match chance.randrange(4):
            case 0:
                text[place : place + 1] = chance.randbytes(1)
            case 1:
                del text[place : place + chance.randint(1, 20)]
            case 2:
                text[place:place] = chance.choice(_PARTS)
            case 3:
                text[place:place] = text[chance.randrange(len(text) + 1) :]
    return bytes(text)


def _answer(web: Web, text: bytes) -> bytes:
    """All that comes for a text, when the client has no more to say."""
    found = bytearray()
    with socket.create_connection(("127.0.0.1", web.port), TIMEOUT) as connection:
        try:
            with _closed_early():
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                found += part
        except ConnectionResetError:
            pass
    return bytes(found)


@contextmanager
def _closed_early() -> Iterator[None]:
    """Leave the block when the other side has closed the connection: its answer may be there."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOTCONN, errno.EPIPE, errno.ECONNRESET):
            raise


def shown(outcome: Outcome) -> str:
    """How many answers there were of each status."""
    return json.dumps(dict(sorted(outcome.statuses.items())))
