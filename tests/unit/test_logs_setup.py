"""Every record of a process as one line of JSON with the same fields."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from warren.errors import CannotWrite
from warren.logs import setup
from warren.logs.events import Event

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    """Configures the log of a worker; gives what it holds.

    Whatever the process had before comes back.
    """
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook
    root.handlers = []
    setup.configure("worker", "worker-crawl", "alpha", tmp_path, "info")

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (tmp_path / "worker.log").read_text().splitlines()]

    yield read
    setup.end()
    root.handlers, root.level, sys.excepthook, threading.excepthook, sys.unraisablehook = before
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.disable(logging.NOTSET)
    root.disabled = False
    setup.unbind("task_id")


def test_an_event_has_the_same_first_fields_in_order(lines: Lines) -> None:
    """Every line begins with the same seven fields, and then has its own.

    They are timestamp, level, event, daemon, program, host and pid.
    """
    setup.logger().info(Event.READY, queues=["a"])
    [line] = lines()
    assert list(line) == [
        "timestamp",
        "level",
        "event",
        "daemon",
        "program",
        "host",
        "pid",
        "queues",
    ]
    assert line | {"timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "event": "ready",
        "daemon": "worker",
        "program": "worker-crawl",
        "host": "alpha",
        "pid": os.getpid(),
        "queues": ["a"],
    }


def test_the_timestamp_is_utc_with_microseconds(lines: Lines) -> None:
    """A timestamp is RFC 3339 in UTC with six digits, so that text sorts as time does.

    This includes whole seconds.
    """
    record = logging.makeLogRecord(
        {"name": "a", "msg": "b", "levelno": 20, "created": 1_700_000_000.0}
    )
    logging.getLogger().handle(record)
    assert lines()[0]["timestamp"] == "2023-11-14T22:13:20.000000Z"


def test_a_library_goes_the_same_way(lines: Lines) -> None:
    """A record of kombu or Celery has the same fields, with its logger and its finished message."""
    logging.getLogger("kombu.connection").warning("lost %s of %d", "one", 2)
    [line] = lines()
    assert list(line)[:9] == [
        *("timestamp", "level", "event", "daemon", "program", "host", "pid"),
        *("logger", "message"),
    ]
    assert (line["event"], line["level"]) == ("record", "warning")
    assert (line["logger"], line["message"]) == ("kombu.connection", "lost one of 2")


def test_a_message_whose_arguments_do_not_fit_is_kept(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log call with wrong arguments costs neither its caller nor its line."""
    root = logging.getLogger()
    # pytest's own handler raises for such a call
    monkeypatch.setattr(root, "handlers", root.handlers[:1])
    logging.getLogger("author").info("got %d", "many")
    [line] = lines()
    assert line["event"] == "record"
    assert "got %d" in line["message"]
    assert "many" in line["arguments"]
    assert "TypeError" in line["unformatted"]


def test_an_exception_is_text(lines: Lines) -> None:
    """A traceback is one text field, in Warren's lines and in those of others."""
    try:
        raise ValueError("amqp://user:s3cret@host")
    except ValueError:
        setup.logger().exception(Event.TASK_FAILED)
        logging.getLogger("author").exception("bad")
    for line in lines():
        assert line["level"] == "error"
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("ValueError: amqp://user:***@host")


def test_a_task_is_named_in_every_line_within_it(lines: Lines) -> None:
    """What a task's author logs carries the task's fields, and only while the task runs."""
    task = {"task_id": "i", "root_id": "r", "task": "t", "queue": "q", "attempt": 1}
    setup.bind(**task)
    logging.getLogger("author").info("hi")
    setup.logger().info(Event.TASK_SUCCEEDED, ran_s=0.5)
    setup.unbind(*task, "never_bound")
    logging.getLogger("author").info("after")
    inside, own, after = lines()
    assert task.items() <= inside.items()
    assert list(own)[7:] == ["task_id", "root_id", "task", "queue", "attempt", "ran_s"]
    assert not task.keys() & after.keys()


def test_nobody_takes_the_place_of_a_fixed_field(lines: Lines) -> None:
    """Extra fields of others are kept.

    They get another name where they would hide who wrote the line.
    """
    setup.bind(task_id="i")
    logging.getLogger("author").info(
        "hi", extra={"host": "h", "event": "e", "task_id": "x", "document": 5}
    )
    setup.logger().info(Event.STARTED, level="l")
    setup.unbind("task_id")
    first, second = lines()
    assert (first["host"], first["event"], first["task_id"], first["document"]) == (
        "alpha",
        "record",
        "i",
        5,
    )
    assert (first["extra_host"], first["extra_event"], first["extra_task_id"]) == ("h", "e", "x")
    assert (second["level"], second["extra_level"]) == ("info", "l")


def test_a_line_may_be_about_another_program(lines: Lines) -> None:
    """supervisord's lines name the program that they are about."""
    setup.logger().info(Event.SUPERVISOR_RECORD, program="beat")
    assert lines()[0]["program"] == "beat"


def test_arguments_of_tasks_are_not_logged(lines: Lines) -> None:
    """The data that Celery attaches to its records, which holds a task's arguments, is left out."""
    logging.getLogger("celery.app.trace").info("done", extra={"data": {"args": "(secret,)"}})
    assert "secret" not in json.dumps(lines())


def test_levels(lines: Lines) -> None:
    """A level holds for Warren's lines and for libraries', and takes effect at once.

    It has one of five names.
    """
    setup.logger().debug(Event.READY)
    logging.getLogger("a").debug("no")
    setup.set_level("debug")
    setup.logger().debug(Event.READY)
    logging.getLogger("a").log(15, "between")
    logging.getLogger("a").log(99, "above")
    assert [line["level"] for line in lines()] == ["debug", "debug", "critical"]


def test_warnings_are_records(lines: Lines) -> None:
    """A Python warning is a line."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)  # catch_warnings put back what the log had replaced
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    [line] = lines()
    assert line["logger"] == "py.warnings"
    assert "old" in line["message"]


def test_an_author_may_use_structlog(lines: Lines) -> None:
    """A task author's own structlog logger writes records like any other."""
    structlog.get_logger("author").info("hi %s", "you", document=5)
    [line] = lines()
    assert (line["event"], line["logger"], line["message"], line["document"]) == (
        "record",
        "author",
        "hi you",
        5,
    )


def test_a_thread_that_dies_is_a_record(lines: Lines) -> None:
    """An exception that ends a thread is a line with its traceback."""
    thread = threading.Thread(target=lambda: 1 / 0, name="helper")
    thread.start()
    thread.join()
    [line] = lines()
    assert line["message"] == "exception in thread helper"
    assert "ZeroDivisionError" in line["exception"]


def test_an_exception_that_python_ignores_is_a_record(lines: Lines) -> None:
    """An exception in a destructor is a line with its traceback."""

    class Bad:
        def __del__(self) -> None:
            raise ValueError("late")

    Bad()
    [line] = lines()
    assert line["logger"] == "python"
    assert "ValueError: late" in line["exception"]


def test_a_second_configuration_replaces_the_first(lines: Lines, tmp_path: Path) -> None:
    """Configuring twice, as a reload does, writes each line once, to the new place."""
    setup.configure("worker", "worker-new", "alpha", tmp_path / "new", "warning")
    setup.logger().warning(Event.READY)
    assert lines() == []
    assert len((tmp_path / "new" / "worker.log").read_text().splitlines()) == 1


def test_a_log_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    """A daemon that cannot log does not start, and says where, why and what to do."""
    (tmp_path / "log").touch()
    before = logging.getLogger().handlers[:]
    with pytest.raises(CannotWrite) as caught:
        setup.configure("worker", "worker-crawl", "alpha", tmp_path / "log")
    assert str(tmp_path / "log" / "worker.log") in str(caught.value)
    assert "[app]" in str(caught.value)
    assert logging.getLogger().handlers == before


def handled_by_nobody() -> None:
    logging.root.handlers.clear()


def closed_by_its_task() -> None:
    """Close the log's descriptor and open another file under its number."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").endswith("worker.log"):
                os.close(int(name))
        except OSError:
            continue


HOSTILE: dict[str, Callable[[], object]] = {
    "basicConfig(force)": lambda: logging.basicConfig(force=True),
    "dictConfig": lambda: logging.config.dictConfig({"version": 1}),
    "dictConfig with a root": lambda: logging.config.dictConfig(
        {"version": 1, "root": {"level": "ERROR", "handlers": []}}
    ),
    "disable": lambda: logging.disable(logging.CRITICAL),
    "shutdown": logging.shutdown,
    "handlers.clear": handled_by_nobody,
    "handlers closed": lambda: logging.root.handlers[0].close(),
    "setLevel": lambda: logging.root.setLevel(100),
    "root disabled": lambda: setattr(logging.root, "disabled", True),
    "structlog.reset_defaults": structlog.reset_defaults,
    "structlog.configure": lambda: structlog.configure(processors=[lambda *_: ""]),
    "structlog context cleared": structlog.contextvars.clear_contextvars,
    "json replaced": lambda: None,
    "descriptor closed": closed_by_its_task,
}


@pytest.mark.parametrize("act", HOSTILE)
def test_what_becomes_of_logging_does_not_touch_the_own_lines(
    act: str, lines: Lines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A task or an import that switches `logging` off costs no line of Warren's.

    `keep` brings the lines of authors back.
    """
    logging.root.handlers = logging.root.handlers[:1]  # pytest's own handlers stay out of it
    setup.bind(task_id="i")
    if act == "json replaced":
        monkeypatch.setattr(json, "dumps", None)
    HOSTILE[act]()
    # It takes the number of a descriptor that was closed.
    foreign = open(tmp_path / "foreign", "wb")  # noqa: SIM115
    setup.logger().info(Event.READY)
    foreign.close()
    monkeypatch.undo()
    setup.keep()
    logging.getLogger("author").info("hi")
    logging.getLogger("kombu.connection").warning("lost")
    found = lines()
    assert [(line["event"], line.get("message")) for line in found] == [
        ("ready", None),
        ("record", "hi"),
        ("record", "lost"),
    ]
    assert {line["task_id"] for line in found} == {"i"}
    assert (tmp_path / "foreign").read_bytes() == b""


def test_a_line_is_bounded_and_says_so(lines: Lines) -> None:
    """Megabytes in an exception or a message become a line with their beginning and end."""
    setup.logger().error(
        Event.TASK_FAILED,
        reason=f"ValueError('begin {'x ' * 2_500_000} end')",
        args=[["y" * 100_000] * 100],
    )
    logging.getLogger("author").info("%s amqp://u:%s@host", "z " * 32_757, "s3cr3t" * 10_000)
    failed, said = lines()
    for line in (failed, said):
        assert len(json.dumps(line)) < 80_000
        assert "s3cr3t" not in json.dumps(line)
    assert failed["reason"].startswith("ValueError('begin x")
    assert failed["reason"].endswith(" end')")
    assert "characters left out" in failed["reason"]
    assert "characters left out" in said["message"]
