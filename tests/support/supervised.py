"""A suite under the real `warren supervise`, and what tests ask of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xmlrpc.client import ServerProxy

from support.servers import process
from support.suite import ENVIRONMENT, WARREN, Suite
from support.wait import until
from warren.config import Settings, load
from warren.control import supervisord_client
from warren.system.process import Process, process_of

QUIET = "[quota-watchdog]\nenabled = false\n"
INI = QUIET + "[worker:a]\nconcurrency = 1\n"
SHIPPED = Path(__file__).parents[2] / "etc" / "warren" / "supervisord.conf"
TASK = "from celery import shared_task\n@shared_task(name='jobs.tick')\ndef tick():\n    pass\n"


def make(directory: Path) -> Suite:
    made = Suite(directory, INI, modules="jobs")
    made.module("jobs", TASK)
    return made


@contextmanager
def supervised(suite: Suite, **environment: str) -> Iterator[Process]:
    """The supervisord of a suite that is ready; when the block ends, nothing of it is left."""
    before = len(suite.logged("supervisord", "ready"))
    with suite.running("supervise", **environment) as started:
        until(
            lambda: len(suite.logged("supervisord", "ready")) > before,
            what=f"ready; {suite.output('supervise')}",
        )
        found = process_of(started.pid)
        assert found is not None
        yield found


@contextmanager
def one_line_supervisor(suite: Suite, *verb: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that starts a daemon with the variable that supervisord sets.

    It can be killed as supervisord can.
    """
    script = (
        "import subprocess, sys; subprocess.run(sys.argv[1:], "
        f"env={ENVIRONMENT | {'SUPERVISOR_ENABLED': '1'}!r})"
    )
    arguments = [sys.executable, "-c", script, str(WARREN), "--config", str(suite.etc), *verb]
    with process(arguments, suite.directory / "supervisor", ENVIRONMENT) as supervisor:
        yield supervisor


def settings(suite: Suite) -> Settings:
    return load(suite.etc)


def programs(suite: Suite) -> dict[str, supervisord_client.Program]:
    return {program.program: program for program in supervisord_client.programs(settings(suite))}


def stop(suite: Suite, program: str) -> None:
    """Have supervisord stop a program by its socket, as a task or supervisorctl may.

    Return when the program has ended.
    """
    with ServerProxy(
        "http://localhost",
        transport=supervisord_client.Transport(suite.directory / "run" / "supervisor.sock"),
    ) as asked:
        asked.supervisor.stopProcess(program)


def reload(suite: Suite, supervisor: Process, event: str = "reloaded") -> None:
    """Sends SIGHUP and waits for the answer."""
    before = len(suite.logged("supervisord", event))
    os.kill(supervisor.pid, signal.SIGHUP)
    until(lambda: len(suite.logged("supervisord", event)) > before, what=event)


def refused(suite: Suite) -> list[str]:
    return [line["problem"] for line in suite.logged("supervisord", "reload_refused")]
