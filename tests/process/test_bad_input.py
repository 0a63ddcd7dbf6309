"""Bad input on the real commands: each row gets one clear line and its exit code or event.

It costs no other task anything.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange

from support.disk import fill, small_disk
from support.servers import free_port, redis_server_at
from support.suite import Suite, broker_section
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.config import load

JOBS = """
from celery import shared_task

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

@shared_task(name="jobs.call")
def call(n):
    return n
"""

GOOD = """
[worker:a]
queues = default, calls
concurrency = 1
[queue:calls]
tasks = jobs.call
[quota:provider]
limit = 100/10s
tasks = jobs.call
"""


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """A suite of one worker on the embedded broker."""
    made = Suite(scratch, GOOD, modules="jobs")
    made.module("jobs", JOBS)
    return made


def add(suite: Suite, *numbers: int) -> Any:
    """The result of the task `jobs.add`, sent by its name."""
    app = make_app(load(suite.etc))
    return result_of(app.send_task("jobs.add", numbers))


def connecting(suite: Suite) -> float:
    """When the worker's heartbeat last said that it has no broker; 0 when it does not say so."""
    beat = suite.heartbeat("worker-a") or {}
    return float(beat["at"]) if beat.get("state") == "connecting" else 0.0


def line_of(suite: Suite, text: str) -> int:
    """The line of warren.ini that holds `text`."""
    lines = (suite.etc / "warren.ini").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


CONFIGURATION = {
    "unknown section": ("[worke:a]\nqueues = default\n", "[worke:a]", "worker"),
    "unknown option": ("[worker:a]\nconcurency = 2\n", "concurency", "concurrency"),
    "wrong unit": (
        "[quota:q]\nlimit = 1000/fortnight\n",
        "1000/fortnight",
        "expected a rate such as",
    ),
    "shared queue": (
        "[quota:q]\nlimit = 10/s\ntasks = jobs.call\n",
        "tasks = jobs.call",
        "[queue:",
    ),
    "unknown task": ("[schedule:s]\ntask = jobs.ad\nevery = 5s\n", "task = jobs.ad", "jobs.add"),
    "missing secret": ("[broker]\nurl_file = /nonexistent/url\n", "url_file", "expected"),
}


COMMANDS = [("check",), ("worker", "a"), ("beat",), ("quota-watchdog",), ("supervise",)]
#: The watchdog sends no tasks and loads none of the app's modules: it knows no task that could be
#: unknown.
ROWS = [
    (row, command)
    for row in CONFIGURATION
    for command in COMMANDS
    if (row, command[0]) != ("unknown task", "quota-watchdog")
]


@pytest.mark.parametrize(
    ("row", "command"), ROWS, ids=lambda each: each if isinstance(each, str) else " ".join(each)
)
def test_a_wrong_configuration_starts_nothing(
    suite: Suite, row: str, command: tuple[str, ...]
) -> None:
    """Every command ends with 78 and says file, line and what was expected.

    It names the nearest known name.
    """
    text, found, hint = CONFIGURATION[row]
    suite.write(text + ("" if "[worker:a]" in text else "[worker:a]\n"))
    ended = suite.warren(*command)
    assert ended.returncode == 78
    assert f"warren.ini:{line_of(suite, found)}: " in ended.stderr
    assert "expected" in ended.stderr
    assert hint in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_secret_that_others_can_read_is_refused(suite: Suite) -> None:
    """The message names the file and the command that mends its mode, and not the secret."""
    secret = suite.directory / "url"
    secret.write_text("redis://:hunter2@127.0.0.1:1/0", encoding="utf-8")
    secret.chmod(0o644)
    suite.write(f"[broker]\nurl_file = {secret}\n[worker:a]\n")
    ended = suite.warren("worker", "a")
    assert ended.returncode == 78
    assert f"warren.ini:{line_of(suite, 'url_file')}: " in ended.stderr
    assert "chmod 600" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_a_missing_app_module_is_located(suite: Suite) -> None:
    """The line of [app] modules is named, and what Python found."""
    suite.head = suite.head.replace("modules = jobs", "modules = jobz")
    suite.write(GOOD)
    ended = suite.warren("worker", "a")
    assert ended.returncode == 78
    assert f"warren.ini:{line_of(suite, 'modules')}: " in ended.stderr
    assert "jobz" in ended.stderr


def test_a_wrong_edit_does_not_touch_what_runs(suite: Suite) -> None:
    """At SIGHUP with a wrong file the problem is logged and the worker continues.

    It runs tasks as before.
    """
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        suite.write(GOOD + "[worker:b]\nconcurency = 1\n")
        worker.send_signal(signal.SIGHUP)
        refused = suite.await_event("worker", "reload_refused")
        assert f"warren.ini:{line_of(suite, 'concurency')}" in refused["problem"]
        suite.write(GOOD)
        assert add(suite, 1, 2) == 3
        assert worker.poll() is None


def test_an_unreachable_broker_is_waited_for(suite: Suite) -> None:
    """The worker says where and why, stays alive with a fresh heartbeat, and waits.

    It works once the broker is there.
    """
    port, password = free_port(), "secret-of-the-test"
    suite.write(
        GOOD
        + broker_section(suite.directory, f"redis://:{password}@127.0.0.1:{port}/0")
        + "connect_timeout = 1s\n"
    )
    with suite.running("worker", "a") as worker:
        line = suite.await_event("worker", "broker_unreachable")
        assert f"127.0.0.1:{port}" in line["broker"]
        assert line["remedy"]
        heartbeats = {until(lambda: connecting(suite), what="a heartbeat that says connecting")}
        until(lambda: connecting(suite) not in heartbeats, what="a further heartbeat")
        asked = suite.warren("call", "jobs.add", "1", "2")
        assert asked.returncode == 69
        assert f"127.0.0.1:{port}" in asked.stderr
        with redis_server_at(suite.directory, port, password):
            suite.await_event("worker", "ready")
            assert add(suite, 1, 2) == 3
        assert worker.poll() is None
    assert password not in (suite.directory / "log" / "worker.log").read_text(encoding="utf-8")


def test_a_damaged_ledger_is_moved_away(suite: Suite) -> None:
    """Its quota starts with every slot cooling, and the old file is kept.

    Other queues run at once.
    """
    ledger = suite.directory / "state" / "quota" / "provider.ledger"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(b"not a ledger" * 1000)
    with suite.running("worker", "a"):
        line = suite.await_event("worker", "ledger_damaged", quota="provider")
        assert Path(line["kept_as"]).exists()
        assert add(suite, 1, 2) == 3
        app = make_app(load(suite.etc))
        waiting = app.send_task("jobs.call", [1])
        suite.await_event("worker", "quota_exhausted", queue="calls")
        assert not waiting.ready()


def test_a_second_beat_on_one_host_is_refused(suite: Suite) -> None:
    """It ends with 76 and names the one that runs, which continues."""
    with suite.running("beat") as first:
        suite.await_event("beat", "ready")
        ended = suite.warren("beat")
        assert ended.returncode == 76
        assert str(first.pid) in ended.stderr
        assert first.poll() is None


@pytest.mark.parametrize(
    ("body", "headers", "content_type", "reason"),
    [
        (b"{not json", {"task": "jobs.add", "id": "1"}, "application/json", "JSON"),
        (
            b"\x80\x04K\x01.",
            {"task": "jobs.add", "id": "2"},
            "application/x-python-serialize",
            "JSON",
        ),
        (b"[[], {}, {}]", {"task": "jobs.nobody", "id": "3"}, "application/json", "jobs.nobody"),
        (b'"hello"', {}, "application/json", "task message"),
    ],
    ids=["not JSON", "pickle", "unknown task", "no task message"],
)
def test_a_message_that_cannot_be_run_is_moved_away(
    suite: Suite, body: bytes, headers: dict[str, str], content_type: str, reason: str
) -> None:
    """It is logged once with the reason and without its content, and the tasks around it run."""
    suite.write(GOOD + "[broker]\nunknown_task_timeout = 0\n")
    app = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        assert add(suite, 1, 2) == 3
        with app.connection_for_write() as connection:
            send_raw(connection, body, headers, content_type)
        line = suite.await_event("worker", "message_rejected")
        assert reason in line["reason"]
        assert add(suite, 3, 4) == 7
        assert len(suite.logged("worker", "message_rejected")) == 1


def send_raw(
    connection: Connection, body: bytes, headers: dict[str, str], content_type: str
) -> None:
    """A message that Celery would not send."""
    producer = connection.Producer(exchange=Exchange("warren", "topic"), routing_key="default")
    producer.publish(body, headers=headers, content_type=content_type, content_encoding="utf-8")


def test_a_full_disk_under_the_state_directory_stops_the_start_with_a_reason(suite: Suite) -> None:
    """The worker that cannot make its ledger ends with 73 and says which file."""
    with small_disk(suite.directory / "state", "64k"):
        fill(suite.directory / "state")
        ended = suite.warren("worker", "a")
        assert ended.returncode == 73
        assert "provider.ledger" in ended.stderr
        assert "No space left" in ended.stderr


def test_a_disk_that_fills_refuses_new_messages_and_keeps_the_old(suite: Suite) -> None:
    """The publisher is told; with room again, everything that was accepted is done.

    The ledger is sound.
    """
    with small_disk(suite.directory / "state", "2m"):
        app = make_app(load(suite.etc))
        accepted = [app.send_task("jobs.add", [n, n]) for n in range(5)]
        filler = fill(suite.directory / "state")
        refused = suite.warren("call", "jobs.add", "1", "2")
        assert refused.returncode != 0
        assert "No space left" in refused.stderr
        with suite.running("worker", "a") as worker:
            filler.unlink()
            assert [result_of(result) for result in accepted] == [2 * n for n in range(5)]
            assert worker.poll() is None or worker.returncode == 73


def test_a_full_disk_under_the_run_directory_stops_no_start(suite: Suite) -> None:
    """A daemon whose predecessor was killed on a full disk starts and works.

    A task filled that disk. The daemon is still the only one.
    """
    with small_disk(suite.directory / "run", "64k"):
        with suite.running("worker", "a"), suite.running("beat"):
            suite.await_event("worker", "ready")
            suite.await_event("beat", "ready")
        fill(suite.directory / "run")
        with (
            suite.running("worker", "a") as worker,
            suite.running("beat"),
            suite.running("quota-watchdog"),
        ):
            assert add(suite, 1, 2) == 3
            for daemon in ("beat", "quota-watchdog"):
                until(lambda daemon=daemon: suite.logged(daemon, "ready"), 60, daemon)  # type: ignore[misc]
            until(lambda: len(suite.logged("beat", "ready")) == 2, 60, "beat")
            assert suite.warren("worker", "a").returncode == 76
            assert worker.poll() is None


def test_a_full_disk_under_the_log_directory_stops_no_task(suite: Suite) -> None:
    """Tasks go on without their lines, and the log says how many are missing once it can."""
    with small_disk(suite.directory / "log", "256k"), suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        filler = fill(suite.directory / "log")
        assert [add(suite, n, n) for n in range(50)] == [2 * n for n in range(50)]
        filler.unlink()
        assert add(suite, 1, 2) == 3
        assert suite.await_event("worker", "cannot_write")["lost"] > 0
