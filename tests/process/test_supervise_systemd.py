"""What a real `warren supervise` tells systemd, and what it writes into the run directory."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from support.suite import Suite, descendants
from support.supervised import INI, QUIET, programs, reload, stop, supervised
from support.systemd import systemd
from support.wait import end_of, until


def report(suite: Suite) -> dict[str, Any]:
    """programs.json as it is now; empty without one."""
    try:
        said: dict[str, Any] = json.loads(
            (suite.directory / "run" / "programs.json").read_text(encoding="utf-8")
        )
    except FileNotFoundError:
        return {}
    return said


def test_a_whole_life_is_told(suite: Suite) -> None:
    """READY comes once every heartbeat is ready, and the watchdog is fed from then on.

    A reload is reported from begin to end, and so is the stop.
    """
    with (
        systemd(suite.directory) as listener,
        suite.running(
            "supervise", NOTIFY_SOCKET=listener.address, WATCHDOG_USEC="2000000"
        ) as started,
    ):
        until(lambda: listener.said("READY"), what="READY")
        assert {suite.heartbeat(name)["state"] for name in ("worker-a", "beat")} == {"ready"}  # type: ignore[index]
        until(
            lambda: listener.said("STATUS")[-1] == "ready: 1 worker, beat leads",
            what="beat to lead",
        )
        assert listener.said("EXTEND_TIMEOUT_USEC")
        for child in descendants(started.pid)[1:]:
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{child.pid}/environ").read_bytes()
        fed = len(listener.said("WATCHDOG"))
        until(lambda: len(listener.said("WATCHDOG")) > fed + 2, what="the watchdog to be fed")

        os.kill(started.pid, signal.SIGHUP)
        until(lambda: len(listener.said("READY")) == 2, what="READY after the reload")
        arguments = [
            word for said in listener.listen() for word in said if word in ("READY", "RELOADING")
        ]
        assert arguments == ["READY", "RELOADING", "READY"]
        until(
            lambda: report(suite)["reloads"][-1]["outcome"] == "applied",
            what="the outcome in the run directory",
        )

        suite.write(QUIET + "[worker:a]\nconcurency = 1\n")
        os.kill(started.pid, signal.SIGHUP)
        until(lambda: len(listener.said("READY")) == 3, what="READY after the refused reload")
        status = listener.said("STATUS")[-1]
        assert status.startswith(
            "ready: 1 worker, beat leads; reload refused, the suite continues as before: "
        )
        assert f"{suite.etc}/warren.ini:10" in status
        assert "concurency" in status
        until(
            lambda: report(suite)["reloads"][-1]["outcome"] == "refused",
            what="the outcome in the run directory",
        )

        started.terminate()
        assert end_of(started) == 0
        assert listener.said("STOPPING") == ["1"]
        assert [said[:8] for said in listener.said("STATUS")[-2:]] == ["stopping", "stopped"]
        assert report(suite) == {}


def test_a_refused_start_is_told(suite: Suite) -> None:
    """The located problem is the last STATUS, and READY is never said."""
    suite.write(QUIET + "[worker:a]\nconcurency = 1\n")
    with (
        systemd(suite.directory) as listener,
        suite.running("supervise", NOTIFY_SOCKET=listener.address) as started,
    ):
        assert end_of(started) == 78
        assert f"refused: {suite.etc}/warren.ini:10" in listener.said("STATUS")[-1]
        assert listener.said("READY") == []


def test_a_broker_that_is_away_holds_up_no_start_for_ever(suite: Suite) -> None:
    """After start_timeout READY is sent, and STATUS says what is not ready.

    The watchdog is fed, and nothing is restarted.
    """
    broker = "[broker]\nurl = redis://127.0.0.1:1/0\nconnect_timeout = 100ms\n"
    suite.write(broker + INI + "[supervise]\nstart_timeout = 30s\nheartbeat_timeout = 5s\n")
    with (
        systemd(suite.directory, abstract=True) as listener,
        suite.running("supervise", NOTIFY_SOCKET=listener.address, WATCHDOG_USEC="4000000"),
    ):
        until(lambda: listener.said("READY"), what="READY")
        suite.await_event("supervisord", "not_ready")
        until(
            lambda: "worker-a (connecting)" in listener.said("STATUS")[-1],
            what="the worker to connect",
        )
        before = {name: program.pid for name, program in programs(suite).items()}
        fed = len(listener.said("WATCHDOG"))
        until(
            lambda: len(listener.said("WATCHDOG")) > fed + 12,
            what="twelve seconds of a fed watchdog",
        )
        assert {name: program.pid for name, program in programs(suite).items()} == before
        assert suite.logged("supervisord", "program_hung") == []


def test_the_journal_gets_every_record_as_text(suite: Suite) -> None:
    """With stderr in the journal supervisord's records go there as well.

    Each is one line, with a priority and no time.
    """
    out = suite.directory / "out" / "supervise"
    out.parent.mkdir()
    out.touch()
    found = out.stat()
    with suite.running("supervise", JOURNAL_STREAM=f"{found.st_dev}:{found.st_ino}") as started:
        suite.await_event("supervisord", "ready")
        started.terminate()
        end_of(started)
    printed, logged = suite.output("supervise").splitlines(), suite.log("supervisord")
    assert len(printed) == len(logged)
    for line, record in zip(printed, logged, strict=True):
        assert line.startswith({"info": "<6>", "warning": "<4>"}[record["level"]])
        assert record.get("message", record["event"]) in line
        assert record["timestamp"][:10] not in line


def test_the_status_of_the_programs_is_in_the_run_directory(suite: Suite) -> None:
    """programs.json names every program with its state, and says who wrote it.

    It is renewed while nothing changes.
    """
    with suite.running("supervise") as started:
        until(lambda: report(suite).get("state") == "running", what="the suite to run")
        first = report(suite)
        assert first["pid"] == started.pid
        assert [each["program"] for each in first["programs"]] == ["worker-a", "beat"]
        for each in first["programs"]:
            assert set(each) == {
                "program",
                "state",
                "pid",
                "since",
                "condition",
                "condition_since",
                "ready",
                "backing_off",
                "restarts",
                "last_error",
                "warning",
                "expected",
            }
            assert (each["state"], each["ready"], each["backing_off"], each["restarts"]) == (
                "RUNNING",
                True,
                False,
                0,
            )
            assert each["since"] <= first["at"]
        until(lambda: report(suite)["at"] > first["at"], what="a newer report")
        os.kill(first["programs"][0]["pid"], signal.SIGKILL)
        until(
            lambda: report(suite)["programs"][0]["restarts"] == 1, what="the restart to be counted"
        )


def test_an_end_that_was_asked_for_is_no_error(suite: Suite) -> None:
    """The status of a killed worker says how it ended.

    After a reload, or a stop and a start, there is nothing to say.
    """
    with supervised(suite) as supervisor:

        def last_error(restarts: int) -> str:
            """What the worker says once it is ready after so many restarts."""

            def worker() -> dict[str, Any]:
                return next(
                    (
                        each
                        for each in report(suite).get("programs", [])
                        if each["program"] == "worker-a"
                    ),
                    {},
                )

            until(
                lambda: worker().get("restarts") == restarts and worker()["ready"],
                what=f"restart {restarts} of worker-a",
            )
            return str(worker()["last_error"])

        os.kill(programs(suite)["worker-a"].pid or 0, signal.SIGKILL)
        assert last_error(1) == "terminated by SIGKILL"
        suite.write(INI.replace("concurrency = 1", "concurrency = 2"))
        reload(suite, supervisor)
        assert last_error(2) == ""
        assert [line["code"] for line in report(suite)["reloads"]] == [0]
        stop(suite, "worker-a")
        assert last_error(3) == ""
