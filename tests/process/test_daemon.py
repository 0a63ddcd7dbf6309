"""What the daemons do alike."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from support.suite import Suite, children, descendants
from support.supervised import one_line_supervisor, supervised
from support.wait import until
from warren.system.process import process_of


@pytest.mark.parametrize("daemon", ["beat", "quota-watchdog"])
def test_a_daemon_whose_supervisor_vanished_ends(scratch: Path, daemon: str) -> None:
    """`kill -9` of its supervisor: it says so and ends in order, for whoever starts next."""
    suite = Suite(scratch, "")
    with one_line_supervisor(suite, daemon) as supervisor:
        suite.await_event(daemon, "ready")
        (orphan,) = filter(None, map(process_of, children(supervisor.pid)))
        supervisor.kill()
        supervisor.wait()
        until(lambda: not orphan.alive, what="the orphan to end")
    assert [line["event"] for line in suite.log(daemon)][-2:] == ["supervisor_lost", "stopped"]
    assert suite.heartbeat(daemon) is None


def test_a_daemon_whose_supervisor_vanished_before_it_looked(scratch: Path) -> None:
    """supervisord is killed while a worker of its begins: the worker ends.

    The next supervisord has a worker of its own.
    """
    suite = Suite(
        scratch,
        "[worker:a]\nconcurrency = 1\n[quota-watchdog]\nenabled = no\n[beat]\nenabled = no\n",
    )
    with supervised(suite) as supervisor:
        until(suite.ready, what="a worker")
        before = {each.pid for each in descendants(supervisor.pid)}
        os.kill((suite.heartbeat("worker-a") or {"pid": 0})["pid"], signal.SIGKILL)
        begun = until(
            lambda: [*({*children(supervisor.pid)} - before)], what="its successor", every=0.001
        )
        # within its imports, which take far longer than it took to see it
        os.kill(begun[0], signal.SIGSTOP)
        orphan = process_of(begun[0])
        os.kill(supervisor.pid, signal.SIGKILL)
        until(lambda: not supervisor.alive, what="the end of supervisord")
        assert orphan is not None
        os.kill(orphan.pid, signal.SIGCONT)
        with supervised(suite):
            until(lambda: not orphan.alive, what="the orphan to end")
            until(suite.ready, what="a worker of the next supervisord")
    assert not [line for line in suite.log("supervisord") if line.get("state") == "FATAL"]
