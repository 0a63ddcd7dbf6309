"""A broker that goes away, or hangs, and comes back: nobody is restarted, and work goes on within seconds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.servers import RabbitMQNode, rabbitmq_server
from support.suite import Suite
from support.wait import until

JOBS = """
from celery import shared_task

@shared_task(name="jobs.tick")
def tick():
    pass
"""
INI = "[broker]\nurl_file = {secret}\n[worker:a]\n[schedule:s]\ntask = jobs.tick\nevery = 1s\n"
#: Seconds in which work goes on after the broker's return; twice of what is promised, for a busy machine.
SOON = 10.0


def make(scratch: Path, url: str) -> Suite:
    """A worker and a beat that sends a task each second."""
    secret = scratch / "url"
    secret.touch(mode=0o600)
    secret.write_text(url, encoding="utf-8")
    suite = Suite(scratch, INI.format(secret=secret), modules="jobs")
    suite.module("jobs", JOBS)
    return suite


def age(suite: Suite, program: str) -> float:
    """Seconds since the heart of the program beat."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - float((suite.heart(program) or {"at": 0})["at"])


def done(suite: Suite) -> int:
    """How many tasks have succeeded."""
    return len(suite.logged("worker", "task_succeeded"))


@contextmanager
def working(suite: Suite) -> Iterator[None]:
    """Worker and beat at work; at the end they are the same processes as at the beginning."""
    with suite.running("worker", "a") as worker, suite.running("beat") as beat:
        until(lambda: done(suite) >= 2, 40, f"tasks; {suite.log('worker')[-3:]}")
        yield
        assert (worker.poll(), beat.poll()) == (None, None)


def beating(suite: Suite, seconds: float) -> None:
    """Fails when a heart is silent for nearly as long as a supervisor allows by default (20 s)."""
    end = time.monotonic() + seconds

    def over() -> bool:
        ages = {program: age(suite, program) for program in ("worker-a", "beat")}
        assert max(ages.values()) < 15, ages
        return time.monotonic() > end

    until(over, seconds + 5, "the end of the outage")


def test_an_outage_of_rabbitmq(rabbitmq: RabbitMQNode, scratch: Path) -> None:
    """RabbitMQ stops for 12 s: hearts beat all the time, and after its return tasks are sent and run within seconds."""
    suite = make(scratch, rabbitmq.url)
    with working(suite):
        rabbitmq.ctl("stop_app")
        beating(suite, 12)
        rabbitmq.ctl("start_app")
        back, before = time.monotonic(), done(suite)
        until(lambda: done(suite) > before, 60, "a task")
        assert time.monotonic() - back < SOON


def test_a_rabbitmq_that_hangs(scratch: Path) -> None:
    """RabbitMQ hangs (SIGSTOP) for longer than heartbeats allow: both daemons notice, hearts go on, work goes on afterwards."""
    folder = scratch / "node"
    folder.mkdir()
    with rabbitmq_server(folder) as node:
        suite, pid = make(scratch, node.url), int(node.ctl("eval", "os:getpid().").strip().strip('"'))
        with working(suite):
            os.kill(pid, signal.SIGSTOP)
            try:
                beating(suite, 40)
                assert suite.logged("worker", "broker_lost")
                assert suite.logged("beat", "tick_failed")
            finally:
                os.kill(pid, signal.SIGCONT)
            back, before = time.monotonic(), done(suite)
            until(lambda: done(suite) > before, 60, "a task")
            assert time.monotonic() - back < SOON
