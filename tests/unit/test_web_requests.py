"""What `warren web` decides about a request: its client, its task, its key."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from starlette.requests import Request

from warren.config.units import Rate
from warren.config.web_options import WebSettings
from warren.errors import CannotWrite
from warren.web import submission, task_state
from warren.web.clients import Clients
from warren.web.known_keys import KEPT, Known, KnownKeys
from warren.web.refusals import Refused
from warren.web.submission import Submission
from warren.web.submit import _send_once

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def tasks() -> Iterator[Mapping[str, Any]]:
    """The tasks of an app, which is closed: `warren check` names each app that a process has."""
    app = Celery("web", set_as_current=False)

    @app.task(name="shop.add")
    def add(x: int, y: int = 0) -> int:
        return x + y

    @app.task(name="shop.bound", bind=True)
    def bound(self: Any, *, rows: int) -> int:
        return rows

    @app.task(name="shop.any")
    def any_of_them(*args: Any, **kwargs: Any) -> None:
        pass

    @app.task(name="secret.wipe")
    def wipe() -> None:
        pass

    yield app.tasks
    app.close()


WEB = WebSettings(tasks=("shop.*", "gone.task"), queues=("fast",))


def request(authorization: str | None) -> Request:
    """A request with this header."""
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN} "])
def test_a_client_with_its_token(header: str) -> None:
    """The name of the scheme has no case."""
    assert Clients({"portal": TOKEN}, Rate(1, 1.0)).client(request(header)) == "portal"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN.upper()}",
        "Bearer \xff",
        f"Bearer {'x' * 100_000}",
        f"Bearer\t{TOKEN}",
    ],
)
def test_nobody_without_a_token(header: str | None) -> None:
    """The answer says how to authenticate, and does not repeat what came."""
    clients = Clients({"portal": TOKEN}, Rate(1, 1.0))
    with pytest.raises(Refused) as raised:
        clients.client(request(header))
    assert raised.value.status == HTTPStatus.UNAUTHORIZED
    assert raised.value.headers == {"WWW-Authenticate": "Bearer"}
    assert TOKEN not in raised.value.detail
    assert clients.refused == 1


def test_the_rate_of_a_client() -> None:
    """All calls of a window at once; then one comes back in each part of it; others are free."""
    now = [100.0]
    clients = Clients({"a": TOKEN, "b": f"{TOKEN}b"}, Rate(4, 8.0), lambda: now[0])
    mine = request(f"Bearer {TOKEN}")
    for _ in range(4):
        clients.client(mine)
    with pytest.raises(Refused) as raised:
        clients.client(mine)
    assert raised.value.status == HTTPStatus.TOO_MANY_REQUESTS
    assert raised.value.headers == {"Retry-After": "2"}
    assert clients.client(request(f"Bearer {TOKEN}b")) == "b"
    now[0] += 2.0
    clients.client(mine)
    with pytest.raises(Refused):
        clients.client(mine)
    now[0] += 1000.0
    for _ in range(4):
        clients.client(mine)
    with pytest.raises(Refused):
        clients.client(mine)


@pytest.mark.parametrize(
    ("task", "body", "args", "kwargs", "options"),
    [
        ("shop.add", '{"args": [1]}', [1], {}, {}),
        ("shop.add", '{"kwargs": {"x": 1, "y": 2}}', [], {"x": 1, "y": 2}, {}),
        ("shop.any", "", [], {}, {}),
        ("shop.any", "{}", [], {}, {}),
        ("shop.bound", '{"kwargs": {"rows": 3}}', [], {"rows": 3}, {}),
        (
            "shop.any",
            '{"queue": "fast", "countdown": 5}',
            [],
            {},
            {"queue": "fast", "countdown": 5},
        ),
        ("shop.any", '{"expires": 0.5, "queue": null}', [], {}, {"expires": 0.5}),
    ],
)
def test_what_a_client_may_send(
    tasks: Mapping[str, Any],
    task: str,
    body: str,
    args: list[Any],
    kwargs: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """The fields of the body, and nothing that was left out."""
    found = submission.read(task, body.encode(), WEB, tasks)
    assert (found.task, found.args, found.kwargs, found.options) == (task, args, kwargs, options)


DEEP = '{"args": [' + "[" * 199 + "]" * 199 + "]}"


@pytest.mark.parametrize(
    ("task", "body", "status", "told"),
    [
        ("secret.wipe", "{}", 404, "found secret.wipe"),
        ("gone.task", "{}", 404, "found gone.task"),
        ("celery.backend_cleanup", "{}", 404, "found celery.backend_cleanup"),
        ("shop.\x1b[2J" + "x" * 999, "{}", 404, "..."),
        ("shop.add", "", 422, "shop.add(x, y=0): missing a required argument: 'x'"),
        ("shop.add", '{"args": [1, 2, 3]}', 422, "too many positional arguments"),
        ("shop.add", '{"args": [1], "kwargs": {"x": 1}}', 422, "multiple values for argument 'x'"),
        ("shop.bound", '{"args": [1]}', 422, "too many positional arguments"),
        ("shop.any", "{", 400, "expected JSON"),
        ("shop.any", '{"args": [NaN]}', 400, "expected JSON"),
        ("shop.any", '"\ud800"'.encode("utf-8", "surrogatepass").decode("latin-1"), 400, ""),
        ("shop.any", '{"args": ["\\ud800"]}', 400, "expected JSON"),
        ("shop.any", "[" * 100_000, 400, "expected JSON"),
        ("shop.any", f'{{"args": [{"9" * 5000}]}}', 400, ""),
        ("shop.any", DEEP, 422, "nested"),
        ("shop.any", '{"args": [{"__type__": "datetime", "__value__": "x"}]}', 422, "__type__"),
        ("shop.any", '{"kwargs": {"x": {"__type__": "no", "__value__": 1}}}', 422, "__type__"),
        ("shop.any", "[]", 422, ""),
        ("shop.any", "null", 422, ""),
        ("shop.any", '{"args": {}}', 422, "args"),
        ("shop.any", '{"kwargs": []}', 422, "kwargs"),
        ("shop.any", '{"eta": "now"}', 422, "eta"),
        (
            "shop.any",
            '{"queue": "default"}',
            422,
            "queue: expected none or a queue of [web] queues",
        ),
        ("shop.any", '{"queue": 1}', 422, "queue"),
        ("shop.any", '{"countdown": -1}', 422, "countdown"),
        ("shop.any", '{"countdown": "1"}', 422, "countdown"),
        ("shop.any", '{"countdown": 1e99}', 422, "countdown"),
        ("shop.any", '{"expires": 0}', 422, "expires"),
    ],
)
def test_what_is_refused(
    tasks: Mapping[str, Any], task: str, body: str, status: int, told: str
) -> None:
    """With what was expected, on one short line."""
    with pytest.raises(Refused) as raised:
        submission.read(task, body.encode("latin-1"), WEB, tasks)
    assert (raised.value.status, told in raised.value.detail) == (status, True), raised.value.detail
    assert len(raised.value.detail) < 400
    assert raised.value.detail.isprintable()


def test_a_key_is_kept_with_its_task(tmp_path: Path) -> None:
    """Also over a restart, until its day is over; each client has keys of its own."""
    now = [0.0]
    path = tmp_path / "web" / "keys.sqlite"
    keys = KnownKeys(path, lambda: now[0])
    assert keys.begin("a", "k", b"1", "first") is None
    assert keys.begin("a", "k", b"1", "second") == Known(b"1", "first", sent=False)
    assert keys.begin("b", "k", b"2", "third") is None
    keys.sent("a", "k")
    keys.forget("b", "k")
    keys.close()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    now[0] = KEPT
    keys = KnownKeys(path, lambda: now[0])
    assert keys.begin("a", "k", b"1", "second") == Known(b"1", "first", sent=True)
    assert keys.begin("b", "k", b"3", "fourth") is None
    keys.close()
    now[0] = 2 * KEPT + 1
    keys = KnownKeys(path, lambda: now[0])
    assert keys.begin("a", "k", b"1", "fifth") is None
    keys.close()


@pytest.mark.parametrize("later", [KEPT + 1, -KEPT - 1])
def test_a_key_that_is_over(tmp_path: Path, later: float) -> None:
    """It holds no more before it is removed, nor one of a clock that was far ahead."""
    now = [10 * KEPT]
    keys = KnownKeys(tmp_path / "keys.sqlite", lambda: now[0])
    assert keys.begin("a", "k", b"1", "first") is None
    now[0] += later
    assert keys.begin("a", "k", b"2", "second") is None
    assert keys.begin("a", "k", b"2", "third") == Known(b"2", "second", sent=False)
    keys.close()


def test_a_task_that_was_sent_and_not_noted(tmp_path: Path) -> None:
    """The client gets its id: after a refusal it would send the task again."""
    keys = KnownKeys(tmp_path / "keys.sqlite")

    class Disk:
        """A sender whose disk fails meanwhile."""

        def send(self, wanted: Submission, task_id: str, once: bool) -> None:
            """Send nothing."""
            keys.close()

    entrance: Any = SimpleNamespace(keys=keys, sender=Disk())
    wanted = Submission("shop.add", [], {}, {})
    assert _send_once(entrance, "a", "k", wanted, b"{}")


def test_keys_that_cannot_be_stored(tmp_path: Path) -> None:
    """The daemon does not start with a file of another kind, and says what to do."""
    path = tmp_path / "keys.sqlite"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(CannotWrite, match="remove the file"):
        KnownKeys(path)
    keys = KnownKeys(tmp_path / "other.sqlite")
    keys.close()
    with pytest.raises(sqlite3.Error):
        keys.begin("a", "k", b"1", "first")


@pytest.mark.parametrize("text", ["", "x" * 256, "a/b", "a\n", "\x00", "\N{SNOWMAN}"])
def test_what_is_no_id(text: str) -> None:
    """It never reaches the results."""
    with pytest.raises(Refused) as raised:
        task_state.checked_id(text)
    assert raised.value.status == HTTPStatus.BAD_REQUEST


class Results:
    """The results of an app, which hold one answer."""

    def __init__(self, meta: dict[str, Any] | Exception) -> None:
        self.backend = self
        self._meta = meta

    def get_task_meta(self, task_id: str) -> dict[str, Any]:
        """Answer as Celery's backends do."""
        if isinstance(self._meta, Exception):
            raise self._meta
        return self._meta


@pytest.mark.parametrize(
    ("status", "result", "told"),
    [
        ("PENDING", None, {"ended": False}),
        ("STARTED", {"pid": 1}, {"ended": False}),
        ("SUCCESS", [1], {"ended": True, "result": [1]}),
        ("FAILURE", ValueError("x"), {"ended": True, "error": "ValueError: x"}),
        (
            "FAILURE",
            OSError("amqp://u:geheim@h\nline"),
            {"ended": True, "error": "OSError: amqp://u:***@h line"},
        ),
        (
            "PROGRESS",
            {"done": 1, "total": None, "note": "n"},
            {"ended": False, "done": 1, "total": None, "note": "n"},
        ),
        ("PROGRESS", {"current": 1, "total": 2}, {"ended": False}),
        ("PROGRESS", None, {"ended": False}),
    ],
)
def test_the_state_of_a_task(status: str, result: Any, told: dict[str, Any]) -> None:
    """Without traceback, and without the process that runs it."""
    found = task_state.state(Results({"status": status, "result": result}), "id")
    assert found == {"task_id": "id", "state": status, **told}
    assert json.loads(json.dumps(found)) == found


def test_results_that_do_not_answer() -> None:
    """The client may come again; what failed is for the log."""
    with pytest.raises(Refused) as raised:
        task_state.state(Results(OSError("redis://u:geheim@h")), "id")
    assert raised.value.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "geheim" not in raised.value.detail
