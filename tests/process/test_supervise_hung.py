"""Daemons that run but do not work, under a real `warren supervise`."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.broker_status import publish_queues
from support.figures import Figure
from support.suite import Suite, descendants
from support.supervised import INI, QUIET, TASK, programs, supervised
from support.systemd import systemd
from support.wait import let_pass, until
from warren.app.factory import make_app
from warren.config import load
from warren.supervise.liveness.observe import LONGEST_STEP

#: A command of the app's own, after which the worker takes nothing, and nobody has said so to it.
DEAFEN = """
from celery.worker.control import control_command

@control_command()
def deafen(state):
    state.consumer.task_consumer.cancel()
    return {"ok": True}
"""
WHOLE = (
    "[broker]\nconnect_timeout = 1s\n[worker:a]\nconcurrency = 1\n[supervise]\nheartbeat_timeout = "
    "5s\nstuck_timeout = 5s\n"
)


@pytest.mark.parametrize("program", ["worker-a", "beat", "quota-watchdog"])
def test_a_daemon_that_hangs_is_started_again(suite: Suite, program: str, figure: Figure) -> None:
    """After kill -STOP of a daemon its stacks are in the capture file.

    None of its processes is left, and another daemon works.
    """
    suite.write(WHOLE.replace("stuck_timeout = 5s\n", ""))
    with supervised(suite):
        hung = programs(suite)[program].pid
        assert hung
        family = descendants(hung)
        begun = time.monotonic()
        os.kill(hung, signal.SIGSTOP)
        line = suite.await_event("supervisord", "program_hung", program=program)
        assert line["child_pid"] == hung
        assert 5 <= line["silent_s"] <= time.monotonic() - begun + LONGEST_STEP
        assert line["heartbeat"] == "ready"
        assert line["details"]
        until(
            lambda: (suite.heartbeat(program) or {}).get("pid") not in (None, hung),
            what="a new heartbeat",
        )
        until(
            lambda: (suite.heartbeat(program) or {})["state"] == "ready",
            what="a heartbeat that is ready",
        )
        figure(
            f"{program} stands still, with a heartbeat_timeout of 5 s: another one works",
            time.monotonic() - begun,
            "<= 30 s",
        )
        assert not any(member.alive for member in family)
        assert "most recent call first" in Path(line["stacks"]).read_text(encoding="utf-8")
        assert len(suite.logged("supervisord", "program_hung")) == 1


def test_one_that_does_not_even_end_is_killed(suite: Suite) -> None:
    """A daemon that ignores SIGABRT gets SIGKILL with its whole group."""
    suite.write(QUIET + WHOLE)
    # what an import blocks, a daemon takes back
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGABRT})
    with ExitStack() as ending:
        ending.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        ending.enter_context(supervised(suite))
        hung = programs(suite)["beat"].pid
        assert hung
        os.kill(hung, signal.SIGSTOP)
        suite.await_event("supervisord", "program_hung", program="beat")
        line = suite.await_event(
            "supervisord", "supervisor_record", program="beat", signal="SIGKILL"
        )
        assert line["expected"] is False
        until(lambda: programs(suite)["beat"].pid not in (None, hung), what="another beat process")


def test_a_supervisor_that_was_stopped_finds_no_heartbeat_stale(suite: Suite) -> None:
    """After SIGCONT of the whole suite, as after a suspend, no daemon counts as hung."""
    suite.write(QUIET + WHOLE)
    with supervised(suite) as supervisor:
        family = descendants(supervisor.pid)
        before = {name: program.pid for name, program in programs(suite).items()}
        for member in family:
            os.kill(member.pid, signal.SIGSTOP)
        let_pass(10)  # more than heartbeat_timeout
        report = suite.directory / "run" / "programs.json"
        before_it = report.read_bytes()
        os.kill(supervisor.pid, signal.SIGCONT)  # the one that judges wakes first
        until(lambda: report.read_bytes() != before_it, what="a step of its loop")
        for member in family:
            os.kill(member.pid, signal.SIGCONT)
        at = {name: (suite.heartbeat(name) or {})["at"] for name in before}
        until(
            lambda: all((suite.heartbeat(name) or {})["at"] > at[name] + 3 for name in before),
            what="the heartbeats to go on",
        )
        assert {name: program.pid for name, program in programs(suite).items()} == before
        assert suite.logged("supervisord", "program_hung") == []


def test_a_full_run_directory_kills_nobody(suite: Suite) -> None:
    """A daemon and a supervisor that both cannot write leave each other alone.

    The daemon cannot write its heartbeat any more.
    """
    suite.write(QUIET + WHOLE)
    with supervised(suite) as supervisor:
        before = {name: program.pid for name, program in programs(suite).items()}
        heartbeat = before["beat"]
        assert heartbeat
        # each write fails, as on a full disk
        resource.prlimit(heartbeat, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        at = (suite.heartbeat("beat") or {})["at"]
        path = suite.directory / "run" / "heartbeats" / "beat.json"
        until(
            lambda: time.clock_gettime(time.CLOCK_BOOTTIME) - at > 12,
            what="more than heartbeat_timeout to pass",
        )
        assert json.loads(path.read_text(encoding="utf-8"))["at"] < at + 2

        def heartbeats() -> bool:
            """Whether status shows a heartbeat that beats, though its words are old."""
            (told,) = [
                program
                for program in (suite.status() or {})["programs"]
                if program["program"] == "beat"
            ]
            return bool(told["heartbeat_age_s"] < 10)

        until(heartbeats, what="a heartbeat that beats")
        assert {name: program.pid for name, program in programs(suite).items()} == before
        resource.prlimit(supervisor.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        report = suite.directory / "run" / "programs.json"

        def age() -> float:
            """Seconds since supervise could write how the programs stand."""
            at: float = json.loads(report.read_text(encoding="utf-8"))["at"]
            return time.clock_gettime(time.CLOCK_BOOTTIME) - at

        until(
            lambda: age() > 16,
            what="a supervisor that could not write for longer than health allows",
        )
        assert suite.warren("health", "supervisord").stdout == "OK: supervisord running\n"
        resource.prlimit(
            supervisor.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
        until(lambda: age() < 16, what="a supervisor that writes again")
        assert suite.logged("supervisord", "program_hung") == []


def test_a_worker_that_takes_nothing_is_started_again(suite: Suite) -> None:
    """A worker whose consumer was cancelled has messages before it and room.

    It is restarted cleanly, and takes them.
    """
    suite.write(QUIET + WHOLE.replace("[worker:a]", "[worker:a]\nremote_control = true"))
    suite.module("jobs", TASK + DEAFEN)
    app = make_app(load(suite.etc))

    def seen() -> bool:
        """What the quota-watchdog would have written."""
        publish_queues(suite.directory / "run", default=1)
        return bool(suite.logged("supervisord", "worker_stuck"))

    with supervised(suite):
        before = programs(suite)["worker-a"].pid
        # load: it is asked again
        until(
            lambda: app.control.broadcast("deafen", reply=True, timeout=5),
            what="a worker that takes nothing",
        )
        app.send_task("jobs.tick", queue="default")
        until(seen, what="worker_stuck")
        line = suite.logged("supervisord", "worker_stuck")[0]
        assert (line["program"], line["child_pid"], line["waiting"]) == (
            "worker-a",
            before,
            {"default": 1},
        )
        assert line["idle_s"] >= 5
        suite.await_event("worker", "task_succeeded")
        assert suite.logged("worker", "stopping", reason="asked to stop")
        assert programs(suite)["worker-a"].pid != before


def test_a_worker_whose_queue_was_cancelled_is_not_started_again(suite: Suite) -> None:
    """Remote control has cancelled the queue, so no messages are expected from it.

    Status says so.
    """
    suite.write(QUIET + WHOLE.replace("[worker:a]", "[worker:a]\nremote_control = true"))
    app = make_app(load(suite.etc))
    with supervised(suite):
        before = programs(suite)["worker-a"].pid
        # load: it is asked again
        until(
            lambda: app.control.cancel_consumer("default", reply=True, timeout=5), what="an answer"
        )
        sent = app.send_task("jobs.tick", queue="default")
        end = time.monotonic() + 12  # twice stuck_timeout, and what two looks may take
        while time.monotonic() < end:
            publish_queues(suite.directory / "run", default=1)
            let_pass(0.2)
        assert not suite.logged("supervisord", "worker_stuck")
        assert programs(suite)["worker-a"].pid == before
        assert "cancelled by remote control: default" in suite.warren("status").stdout
        # load: it is asked again
        until(lambda: app.control.add_consumer("default", reply=True, timeout=5), what="an answer")
        suite.await_event("worker", "task_succeeded", task_id=sent.id)


def test_a_worker_that_grew_too_big_is_started_again(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon above its max_memory stops cleanly and starts again, but not in its first minute.

    The log has both numbers.
    """
    suite.write(QUIET + "[worker:a]\nconcurrency = 1\nmax_memory = 10MB\n")
    with supervised(suite):
        before = programs(suite)["worker-a"].pid
        line = suite.await_event("supervisord", "program_too_big")
        assert line["resident_bytes"] > line["max_memory_bytes"] == 10_000_000
        assert (line["program"], line["child_pid"]) == ("worker-a", before)
        until(lambda: programs(suite)["worker-a"].pid not in (None, before), what="another worker")
        assert suite.logged("worker", "stopping", reason="asked to stop")
        assert len(suite.logged("supervisord", "program_too_big")) == 1


def test_a_program_that_fails_again_and_again_is_held(suite: Suite) -> None:
    """After five failures it is backing off, logged once, and tried each minute.

    It is released when it works for a while.
    """
    suite.write(INI)
    with (
        systemd(suite.directory) as listener,
        suite.running("supervise", NOTIFY_SOCKET=listener.address) as supervisor,
    ):
        suite.await_event("supervisord", "ready")
        suite.module("jobs", "import os\nos._exit(1)\n")
        os.kill(programs(suite)["worker-a"].pid or 0, signal.SIGKILL)
        backing_off = suite.await_event("supervisord", "program_backing_off", program="worker-a")
        assert backing_off["failures"] == 5
        assert backing_off["last_error"].startswith("exit status 1: the command could not do")
        until(
            lambda: "backing off: worker-a (exit status 1" in listener.said("STATUS")[-1],
            what="it to be told",
        )

        def report() -> dict[str, Any]:
            said: dict[str, Any] = json.loads(
                (suite.directory / "run" / "programs.json").read_text(encoding="utf-8")
            )
            return said

        until(
            lambda: [each["backing_off"] for each in report()["programs"]] == [True, False],
            what="it to be in the run directory",
        )
        assert "backing off: worker-a (exit status 1" in report()["status"]
        assert "worker-a is backing off: exit status 1" in suite.warren("status").stdout
        # the line that Monit shows
        assert "worker-a is backing off: exit status 1" in suite.warren("health", "worker").stdout
        assert programs(suite)["beat"].state == "RUNNING"
        suite.module("jobs", "")
        os.kill(supervisor.pid, signal.SIGHUP)  # a reload has it tried at once
        suite.await_event("supervisord", "program_recovered", program="worker-a")
        assert len(suite.logged("supervisord", "program_backing_off")) == 1
        until(
            lambda: listener.said("STATUS")[-1].startswith("ready: 1 worker"),
            what="it to be told that all is well",
        )
        said = listener.said("STATUS")
        assert not [line for line in said if line.startswith("ready") and "backing_off" in line]
