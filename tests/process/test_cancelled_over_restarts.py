"""A cancelled queue stays cancelled over each restart that no operator asked for.

Remote control has cancelled it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.broker_status import publish_queues
from support.suite import Suite
from support.supervised import QUIET, programs, supervised
from support.wait import end_of, until
from warren.app.factory import make_app
from warren.config import load

INI = f"""{QUIET}[beat]
enabled = false
[broker]
connect_timeout = 1s
[queue:side]
[supervise]
heartbeat_timeout = 5s
stuck_timeout = 5s
start_timeout = 5m
[worker:b]
queues = default, side
concurrency = 1
"""
WORKER = "[worker:a]\nqueues = default, side\nconcurrency = 1\nremote_control = true\n"
#: With a command of the app's own, after which the worker takes nothing, and nobody has said so to
#: it.
JOBS = """
from celery import shared_task
from celery.worker.control import control_command

@shared_task(name="jobs.tick")
def tick():
    pass

@control_command()
def deafen(state):
    state.consumer.task_consumer.cancel()
    return {"ok": True}
"""


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """A worker of two queues, which obeys remote control."""
    made = Suite(scratch, INI + WORKER, modules="jobs")
    made.module("jobs", JOBS)
    return made


def ask(suite: Suite, command: Callable[..., Any], *arguments: str, **options: Any) -> None:
    """Have the worker answer a command of remote control."""
    # load: it is asked again
    until(lambda: command(*arguments, reply=True, timeout=2, **options), what="an answer")


def taken(suite: Suite, *queues: str, but: int | None = None) -> None:
    """Wait until a worker process says that it takes from these queues alone.

    It is not the one with the number `but`.
    """

    def said() -> bool:
        heartbeat = suite.heartbeat("worker-a") or {"pid": but}
        return heartbeat["pid"] != but and (
            heartbeat["state"],
            heartbeat["details"].get("queues"),
        ) == ("ready", list(queues))

    until(
        said,
        what=(
            f"a worker that takes from {queues}, and not process {but}: "
            f"{suite.heartbeat('worker-a')}"
        ),
    )


def reload(suite: Suite, ini: str) -> None:
    """Edit the settings, and wait until the daemons have them.

    A worker that is only starting by then would read those of the next edit instead.
    """
    suite.write(ini)
    done = suite.warren("reload")
    assert done.returncode == 0, done.stderr


def at_work(suite: Suite) -> int:
    """Return the number of the worker's process."""
    return until(lambda: programs(suite)["worker-a"].pid or 0, what="a worker")


def broker_status(suite: Suite) -> None:
    """Write what the quota-watchdog would have: there is something to take."""
    publish_queues(suite.directory / "run", default=1, side=1)


def test_a_restart_that_nobody_asked_for_keeps_a_queue_cancelled(suite: Suite) -> None:
    """The queue stays cancelled over a kill, a signal, a hang and new settings.

    It does so over another way to run and a kill -9 of supervisord, too.
    """
    app = make_app(load(suite.etc))
    with supervised(suite) as supervisor:
        ask(suite, app.control.cancel_consumer, "side")
        for number in (signal.SIGKILL, signal.SIGTERM):
            before = at_work(suite)
            os.kill(before, number)
            taken(suite, "default", but=before)
        for edit in ("prefetch = 3\n", "prefetch = 3\nstop_timeout = 50s\n"):
            before = at_work(suite)
            reload(suite, INI + WORKER + edit)
            taken(suite, "default", but=before)
        before = at_work(suite)
        ask(suite, app.control.broadcast, "deafen")
        app.send_task("jobs.tick", queue="default")

        def stuck() -> bool:
            broker_status(suite)
            return bool(suite.logged("supervisord", "worker_stuck", program="worker-a"))

        until(stuck, what="a worker that is stuck")
        taken(suite, "default", but=before)
        before = at_work(suite)
        os.kill(supervisor.pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{before}").exists(), what="the end of the worker")
    assert not suite.logged("worker", "queue_resumed")
    with supervised(suite):
        taken(suite, "default", but=before)
        # load: one whose heartbeat stands still for 5 s is started again, as often as that happens
        starts = [line["queues"] for line in suite.logged("worker", "ready", program="worker-a")][
            1:
        ]
        assert len(starts) >= 6
        assert all(queues == ["default"] for queues in starts)
        assert (
            len(
                suite.logged(
                    "worker", "queue_cancelled", queue="side", reason="cancelled before this start"
                )
            )
            >= 6
        )
        ask(suite, app.control.add_consumer, "side")
        before = at_work(suite)
        os.kill(before, signal.SIGKILL)
        taken(suite, "default", "side", but=before)


def test_an_operator_s_restart_takes_a_cancelled_queue_up_again(suite: Suite) -> None:
    """A rolling restart and a stop of the suite end it.

    So does a reload that takes the queue, the worker or remote control away.
    """
    app = make_app(load(suite.etc))
    with supervised(suite) as supervisor:

        def cancel() -> int:
            ask(suite, app.control.cancel_consumer, "side")
            taken(suite, "default")
            return at_work(suite)

        before = cancel()
        assert suite.warren("restart", "--rolling").returncode == 0
        taken(suite, "default", "side", but=before)
        for worker in (
            WORKER.replace("default, side", "default"),
            f"{WORKER}enabled = false\n",
            WORKER.replace("remote_control = true", ""),
        ):
            before = cancel()
            reload(suite, INI + worker)
            reload(suite, INI + WORKER)
            taken(suite, "default", "side", but=before)
        before = cancel()
        os.kill(supervisor.pid, signal.SIGTERM)
        until(lambda: suite.logged("supervisord", "stopped"), what="the end of the suite")
    assert [
        line["reason"]
        for line in suite.logged("supervisord", "queue_resumed", queue="side", program="worker-a")
    ] == [
        "an operator has restarted the worker",
        "a reload took the worker away",
        "the suite was stopped",
    ]
    with supervised(suite):
        taken(suite, "default", "side", but=before)


def test_a_worker_of_its_own_forgets_what_was_cancelled_when_it_is_stopped(suite: Suite) -> None:
    """Without a supervisor its orderly end is what somebody has asked for; a kill is not."""
    app = make_app(load(suite.etc))
    before = 0
    for number, queues in (
        (signal.SIGKILL, ["default", "side"]),
        (signal.SIGTERM, ["default"]),
        (None, ["default", "side"]),
    ):
        with suite.running("worker", "a") as worker:
            taken(suite, *queues, but=before)
            if number is None:
                continue
            ask(suite, app.control.cancel_consumer, "side")
            before = worker.pid
            worker.send_signal(number)
            end_of(worker)
