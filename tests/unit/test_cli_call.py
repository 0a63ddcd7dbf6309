"""`warren call`: what it refuses, and what it says of a task."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from math import inf, nan
from pathlib import Path
from uuid import UUID

import pytest
from celery.backends.base import Backend
from celery.exceptions import NotRegistered

from support.results import MALFORMED
from support.wait import TIMEOUT
from warren.app.factory import make_app
from warren.broker.connect import reach
from warren.broker.queue_depth import depths
from warren.broker.result_validation import UnreadableResult
from warren.cli import main
from warren.config import Settings, load
from warren.errors import ExitCode

Written = Callable[..., Path]


@pytest.fixture
def directory(etc: Written, tmp_path: Path) -> Path:
    """An embedded broker with a queue `pages`."""
    directories = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    (tmp_path / "state").mkdir()
    return etc(f"[app]\n{directories}[queue:pages]\ntasks = shop.page\n")


def call(directory: Path, *arguments: str) -> int:
    """The exit code of `warren call WORDS`."""
    try:
        return main(["--config", str(directory), "--host", "here", "call", *arguments])
    except SystemExit as end:
        return int(end.code or 0)


def settings_of(directory: Path) -> Settings:
    return load(directory, "here")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("shop.page", "--queue", "page"),
            "expected a declared queue, found 'page'; did you mean pages?",
        ),
        (("",), "expected the name of a task such as shop.tasks.collect, found nothing"),
        (("shop page",), "found 'shop page'"),
        (
            ("shop.page", "--wait", "nan"),
            "expected a duration such as 30s, 5m or 2h (units ms, s, m, h, d), found 'nan'",
        ),
        (("shop.page", "--wait", "-1"), "found '-1'"),
        (("shop.page", "--wait", "0"), "found '0'"),
        (("shop.page", "--wait", "1.2.3"), "found '1.2.3'"),
        (("shop.page", "--kwargs", "[1]"), "expected a JSON object"),
        (
            ("shop.page", "--routing-key", "a b"),
            "expected a routing key of at most 255 bytes without white space, found 'a b'",
        ),
        (("shop.page", "--routing-key", ""), "expected a routing key, found nothing"),
        (
            ("shop.page", "--routing-key", "pages", "--queue", "pages"),
            "expected one of --queue and --routing-key, found both",
        ),
        (
            ("shop.page", "--countdown", "soon"),
            "expected a duration such as 30s, 5m or 2h (units ms, s, m, h, d), found 'soon'",
        ),
        (
            ("shop.page", "--eta", "tomorrow"),
            "expected a time with its zone such as 2030-01-31T06:00:00Z, found 'tomorrow'",
        ),
        (("shop.page", "--eta", "2030-01-31T06:00:00"), "expected a time with its zone"),
        (
            ("shop.page", "--eta", "2030-01-31T06:00:00Z", "--countdown", "5"),
            "expected one of --countdown and --eta, found both",
        ),
    ],
)
def test_usage(
    directory: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """Arguments that make no task end with 2 and say what was expected; nothing is sent."""
    assert call(directory, *arguments) == ExitCode.USAGE
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (directory.parent / "state" / "broker").exists()


def test_a_text_that_looks_like_json(directory: Path) -> None:
    """An argument that JSON cannot hold, however deep it is nested, is sent as a text."""
    texts = ("[" * 5000, "NaN", "9" * 5000, "plain")
    assert call(directory, "shop.page", "--", *texts, "-1", "[2]") == 0
    app = make_app(settings_of(directory))
    with reach(app) as connection:
        message = connection.SimpleQueue(app.amqp.queues["pages"]).get(timeout=TIMEOUT)
    assert message.payload[0] == [*texts, -1, [2]]


def test_an_address_and_a_time(directory: Path) -> None:
    """A routing key leads to its queue, and a task that is to run later has its time with it."""
    assert call(directory, "shop.other", "--routing-key", "pages", "--countdown", "10m") == 0
    far = datetime.now(timezone(timedelta(hours=1))).replace(microsecond=0) + timedelta(days=100)
    assert call(directory, "shop.other", "--routing-key", "pages", "--eta", far.isoformat()) == 0
    # What is due later waits beside its queue, in the order in which it is due.
    waiting = sorted(
        (settings_of(directory).app.state_dir / "broker" / "later" / "pages").iterdir()
    )
    times = [
        datetime.fromisoformat(json.loads(path.read_bytes())["headers"]["eta"]) for path in waiting
    ]
    assert timedelta(minutes=9) < times[0] - datetime.now(UTC) <= timedelta(minutes=10)
    assert times[1] == far


def test_a_routing_key_that_leads_nowhere(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is an error that names the key; nothing is sent."""
    assert call(directory, "shop.page", "--routing-key", "pagse") == ExitCode.UNAVAILABLE
    said = capsys.readouterr().err
    assert (
        "expected a queue bound for routing key 'pagse', found none; the message was not sent"
        in said
    )
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("wait", ["0.2", "200ms", "0.2s"])
def test_not_done_in_time(directory: Path, capsys: pytest.CaptureFixture[str], wait: str) -> None:
    """A wait that runs out ends with 1 and a line that says where the task is, as far as known."""
    for number, arguments in enumerate(("1 message waits", "2 messages wait"), start=1):
        assert call(directory, "shop.page", "--wait", wait) == ExitCode.FAILURE
        captured = capsys.readouterr()
        where = "still with the broker, running or rejected"
        assert captured.err.startswith(
            f"not done after 0.2 s: {where} (queue pages, {arguments}); warren logs --task "
        )
        assert "PENDING" in captured.out
        assert depths(make_app(settings_of(directory)), ["pages"])["pages"] == number


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        ("FAILURE", ValueError("no luck"), "ValueError: no luck"),
        ("FAILURE", NotRegistered("x"), "NotRegistered: 'x'"),
    ],
)
def test_a_failed_task(
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    error: Exception,
    said: str,
) -> None:
    """A task that failed ends with 1 and says the type of its exception, too."""
    app = make_app(settings_of(directory))
    monkeypatch.setattr("celery.app.base.uuid", lambda: "known")
    app.backend.store_result("known", error, state)
    assert isinstance(app.backend, Backend)
    assert call(directory, "shop.page", "--wait", "5", "--json") == ExitCode.FAILURE
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["state"], told["result"], captured.err) == (state, said, "")


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (Decimal("1.50"), "Decimal('1.50')"),
        (datetime(2030, 1, 31, 6, tzinfo=UTC), "2030-01-31T06:00:00+00:00"),
        (date(2030, 1, 31), "2030-01-31"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (b"\xff\0", "b'\\xff\\x00'"),
        (
            [1, {"a": nan, "b": [inf, -inf, Decimal(1)]}],
            [1, {"a": "nan", "b": ["inf", "-inf", "Decimal('1')"]}],
        ),
        (nan, "nan"),
        (10**400, 10**400),
        ("\ud800 \x1b]0;x\a", "\ud800 \x1b]0;x\a"),
        (None, None),
        ("", ""),
        (False, False),
    ],
    ids=repr,
)
def test_a_result_of_each_kind(
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    result: object,
    said: object,
) -> None:
    """A result that JSON does not have is printed as text, as in the log.

    Every reader takes the JSON that is printed.
    """

    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    app = make_app(settings_of(directory))
    monkeypatch.setattr("celery.app.base.uuid", lambda: "known")
    app.backend.store_result("known", result, "SUCCESS")
    assert call(directory, "shop.page", "--wait", "5", "--json") == ExitCode.OK
    captured = capsys.readouterr()
    told = json.loads(captured.out, parse_constant=refuse)
    assert (told["state"], told["result"], captured.err) == ("SUCCESS", said, "")
    assert call(directory, "shop.page", "--wait", "5") == ExitCode.OK
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_task_that_keeps_no_result(
    etc: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can know that it has succeeded: that is said, and not that it waits."""
    directories = "".join(f"{name}_dir = {tmp_path / name}\n" for name in ("state", "log", "run"))
    (tmp_path / "state").mkdir()
    assert (
        call(
            etc(f"[app]\n{directories}[celery]\ntask_ignore_result = yes\n"),
            "shop.page",
            "--wait",
            "0.2",
        )
        == ExitCode.FAILURE
    )
    said = (
        "no failure within 0.2 s: a success of shop.page leaves no result (ignore_result), only a "
        "line in the worker's log\n"
    )
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("found", MALFORMED)
def test_a_result_that_is_none(
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    found: bytes,
) -> None:
    """Whatever stands in its place, one line says so, and does not blame the settings.

    `get()` has an error of its own.
    """
    app = make_app(settings_of(directory))
    monkeypatch.setattr("celery.app.base.uuid", lambda: "known")
    app.backend.store_result("known", 1, "SUCCESS")
    [path] = (settings_of(directory).app.state_dir / "results").glob("*known*")
    path.write_bytes(found)
    with pytest.raises(UnreadableResult, match="the result of known cannot be read"):
        app.AsyncResult("known").get(timeout=TIMEOUT)
    assert call(directory, "shop.page", "--wait", "5") == ExitCode.DATAERR
    captured = capsys.readouterr()
    assert captured.err.startswith("the result of known cannot be read: ")
    assert len(captured.err.splitlines()) == 1
    assert "[broker]" not in captured.err


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_result_that_is_no_file(
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], None],
) -> None:
    """A task may put there what never ends, or is never written to: it is no result."""
    app = make_app(settings_of(directory))
    monkeypatch.setattr("celery.app.base.uuid", lambda: "known")
    app.backend.store_result("known", 1, "SUCCESS")
    [path] = (settings_of(directory).app.state_dir / "results").glob("*known*")
    path.unlink()
    make(path)
    assert call(directory, "shop.page", "--wait", "5") == ExitCode.DATAERR
    assert capsys.readouterr().err.startswith(
        "the result of known cannot be read: expected a file, found a "
    )


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_no_result_ends_who_asks_for_it(directory: Path, kind: str) -> None:
    """An exception that is none becomes one when it is read.

    A task may have raised it, or another process may have written it.
    """
    app = make_app(settings_of(directory))
    app.backend.store_result("known", 1, "SUCCESS")
    [path] = (settings_of(directory).app.state_dir / "results").glob("*known*")
    error = {"exc_type": kind, "exc_module": "builtins", "exc_message": ["x"]}
    path.write_text(
        json.dumps(
            {
                "status": "FAILURE",
                "result": error,
                "task_id": "known",
                "traceback": None,
                "children": [],
            }
        )
    )
    with pytest.raises(RuntimeError, match=kind):
        app.AsyncResult("known").get(timeout=TIMEOUT)


@pytest.mark.parametrize(
    ("ini", "code"),
    [
        ("[broker]\nurl = amqp://u:secret77@127.0.0.1:1/v?heartbeat=abc", ExitCode.CONFIG),
        ("[broker]\nurl = redis://:secret77@127.0.0.1:1/x", ExitCode.CONFIG),
        ("[broker]\nurl = redis://:12345/secret77@h/0", ExitCode.CONFIG),
        ("[results]\nurl = redis://:secret77@h/0;redis://:secret77@i/0", ExitCode.CONFIG),
        ("[broker]\nurl = redis://secret77@127.0.0.1:1/0", ExitCode.UNAVAILABLE),
        ("[broker]\nurl = rediss://:secret77@127.0.0.1:1/0", ExitCode.UNAVAILABLE),
        ("[broker]\nurl = amqp://u:secret77@127.0.0.1:1/v", ExitCode.UNAVAILABLE),
        (
            (
                "[broker]\nurl = redis://127.0.0.1:1/0\n[celery]\nbroker_transport_options = "
                '{"max_connections": "x"}'
            ),
            69,
        ),
        ("[celery]\nbroker_heartbeat = abc", ExitCode.CONFIG),
    ],
)
def test_broken_broker(
    etc: Written, capsys: pytest.CaptureFixture[str], ini: str, code: int
) -> None:
    """A broker that cannot be used ends with 78, one that cannot be reached with 69.

    There is no traceback and no password.
    """
    assert call(etc(ini), "shop.page") == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "secret77" not in said
    assert said


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:1/0", "(redis://127.0.0.1:1/0)"),
        ("redis://secret77@127.0.0.1:1/0", "(redis://***@127.0.0.1:1/0)"),
    ],
)
def test_the_broker_in_a_message(
    etc: Written, capsys: pytest.CaptureFixture[str], url: str, shown: str
) -> None:
    """The message names the line of the URL, and the broker.

    It has a mask where a password was given, and none where none was.
    """
    directory = etc(f"[broker]\nurl = {url}")
    assert call(directory, "shop.page") == ExitCode.UNAVAILABLE
    said = capsys.readouterr().err
    assert said.startswith(
        f"{directory / 'warren.ini'}:2: [broker] url: the broker does not answer: "
    )
    assert shown in said


SHOP = """
from celery import shared_task
print("imported")

@shared_task(name="{module}.fetch_price")
def fetch_price():
    pass
"""


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("fetch_price", ""),
        (
            "fetch_pric",
            "expected a task of [app] modules, found none of that name; the task was sent "
            "all the same, because another host may have it; did you mean {module}.fetch_price?",
        ),
    ],
)
def test_a_name_that_no_module_has(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], sent: str, told: str
) -> None:
    """A task that this host does not know is sent, since another host may know it.

    A note on stderr says so, in case of a typing error.
    """
    module = f"shop_of_{sent}"  # an imported module stays
    (tmp_path / f"{module}.py").write_text(SHOP.format(module=module), encoding="utf-8")
    text = (directory / "warren.ini").read_text(encoding="utf-8")
    (directory / "warren.ini").write_text(
        text.replace("[app]", f"[app]\nmodules = {module}\npath = {tmp_path}"), encoding="utf-8"
    )
    assert call(directory, f"{module}.{sent}", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["task"] == f"{module}.{sent}"
    assert said.err.partition("imported\n")[2].startswith(
        f"{module}.{sent}: {told.format(module=module)}" if told else ""
    )
    assert bool(told) == ("expected" in said.err)
    assert depths(make_app(settings_of(directory)), ["default"])["default"] == 1


def test_a_sender_without_the_code(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the modules are not installed nothing is known of their tasks, and nothing is said."""
    text = (directory / "warren.ini").read_text(encoding="utf-8")
    (directory / "warren.ini").write_text(
        text.replace("[app]", "[app]\nmodules = nowhere.tasks"), encoding="utf-8"
    )
    assert call(directory, "nowhere.tasks.add") == 0
    assert capsys.readouterr().err == ""
