"""`warren health` on a real suite that is well, stopped, or has a fault.

The faults are a worker that hangs or is gone, and no broker.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from support.servers import free_port, redis_server_at
from support.suite import Suite
from support.supervised import TASK, supervised
from support.wait import until
from warren.health.finding import Finding, Level
from warren.health.observation import look
from warren.health.report import judge, worst

INI = "[worker:a]\nconcurrency = 1\n[quota:site]\nlimit = 60/10s\n"


@pytest.fixture
def running(scratch: Path) -> Iterator[Suite]:
    """A whole suite that is ready, on the embedded broker."""
    suite = Suite(scratch, INI, modules="jobs")
    suite.module("jobs", TASK)
    with supervised(suite):
        until(lambda: health(suite)[0] == Level.OK, what="a suite that is well")
        yield suite


def health(suite: Suite, *arguments: str) -> tuple[int, str]:
    """Exit code and line of the real command."""
    done = suite.warren("health", *arguments)
    assert not done.stderr
    return done.returncode, done.stdout.strip()


def found(suite: Suite) -> list[Finding]:
    """Return what the command would find, without its start.

    What passes in a moment is not missed.
    """
    return judge(look(suite.directory / "run", (suite.directory,)))


def has(suite: Suite, level: Level, text: str) -> bool:
    """Whether something of that level is found, and its text has those words."""
    return any(finding.level == level and text in finding.text for finding in found(suite))


def test_a_suite_that_is_well_and_one_that_stopped(scratch: Path) -> None:
    """A running suite is well in every check, as a line and as JSON.

    A stopped suite is critical and says so.
    """
    suite = Suite(scratch, INI, modules="jobs")
    suite.module("jobs", TASK)
    with supervised(suite):
        until(lambda: health(suite)[0] == Level.OK, what="a suite that is well")
        code, line = health(suite)
        assert line.startswith(
            "OK: supervisord running; worker-a ready; beat ready; quota-watchdog ready; broker "
            "embedded answers"
        )
        assert "quota site 60 of 60 left" in line
        said: dict[str, Any] = json.loads(health(suite, "--json")[1])
        assert said["level"] == "ok"
        for check in {finding["check"] for finding in said["findings"]}:
            assert health(suite, check)[0] == Level.OK
    code, line = health(suite)
    assert code == Level.CRITICAL
    assert line.startswith("CRITICAL: the suite is not running")


def test_a_killed_worker(running: Suite) -> None:
    """A suite with a killed worker is no longer well at once.

    It is well again once supervisord has started another worker.
    """
    os.kill(running.heartbeat("worker-a")["pid"], signal.SIGKILL)  # type: ignore[index]
    until(
        lambda: worst([finding for finding in found(running) if finding.check == "worker"]),
        what="a worker that is not well",
    )
    until(lambda: worst(found(running)) == Level.OK, what="another worker")


def test_a_supervisord_that_hangs(scratch: Path) -> None:
    """A supervisord that stands still is critical, though its programs go on."""
    suite = Suite(scratch, INI, modules="jobs")
    suite.module("jobs", TASK)
    with supervised(suite) as supervisor:
        try:
            os.kill(supervisor.pid, signal.SIGSTOP)
            until(
                lambda: has(suite, Level.CRITICAL, "supervisord hangs"),
                what="a supervisord that hangs",
            )
        finally:
            os.kill(supervisor.pid, signal.SIGCONT)
        until(lambda: worst(found(suite)) == Level.OK, what="the supervisord again")


def test_a_broker_that_is_gone(scratch: Path) -> None:
    """Without its broker a suite is critical for that reason, while its daemons are not.

    With the broker it recovers by itself.
    """
    port, password = free_port(), secrets.token_hex(8)
    suite = Suite(
        scratch, f"[broker]\nurl = redis://:{password}@127.0.0.1:{port}/0\n{INI}", modules="jobs"
    )
    suite.module("jobs", TASK)
    with redis_server_at(scratch, port, password), supervised(suite):
        until(lambda: worst(found(suite)) == Level.OK, what="a suite that is well")
        Redis(port=port, password=password).shutdown(nosave=True)
        until(lambda: has(suite, Level.CRITICAL, "broker away"), what="a broker that is away")
        until(
            lambda: has(suite, Level.WARNING, "worker-a is connecting"),
            what="a worker that looks for it",
        )
        with redis_server_at(scratch, port, password):
            until(lambda: worst(found(suite)) == Level.OK, what="a suite that is well again")
