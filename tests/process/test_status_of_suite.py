"""STATUS, `warren status`, --json and `warren health` of a real suite that comes up."""

from __future__ import annotations

import secrets
from pathlib import Path

from support.servers import free_port, redis_server_at
from support.suite import Suite
from support.systemd import Listener, systemd
from support.wait import until

#: A task module that takes long to import in a worker, module after module, while a file is there.
SLOW = """
import os, sys, time
while 'worker' in sys.argv and os.path.exists({hold!r}):
    time.sleep(0.2)
    try:
        __import__(f"nothing_{{time.monotonic_ns()}}")
    except ImportError:
        pass
"""


def all_say(suite: Suite, listener: Listener, word: str) -> bool:
    """Return whether the four outputs say this word of the worker, and the same of its readiness.

    A state that lasts makes all of them agree at some time; two judges never would.
    """
    ready = word == "ready"
    found = suite.status()
    if not found or not listener.said("STATUS"):
        return False
    (row,) = found["programs"]
    status = listener.said("STATUS")[-1]
    table = suite.warren("status").stdout
    health = suite.warren("health", "worker")
    lines = [line.split() for line in table.splitlines() if line.startswith("worker-a ")]
    return (
        (row["condition"], row["ready"], found["ready"]) == (word, ready, ready)
        and (word in status and status.startswith("ready") == ready)
        and lines[0][1] == word
        and (f" {word}" in health.stdout and (health.returncode == 0) == ready)
    )


def test_a_suite_that_comes_up_is_described_alike(scratch: Path) -> None:
    """While it starts, while it looks for its broker, and once it is ready, all four agree."""
    hold, port, password = scratch / "hold", free_port(), secrets.token_hex(8)
    hold.touch()
    suite = Suite(
        scratch,
        f"[broker]\nurl = redis://:{password}@127.0.0.1:{port}/0\nconnect_timeout = 500ms\n"
        "[beat]\nenabled = false\n[quota-watchdog]\nenabled = false\n"
        "[worker:a]\nconcurrency = 1\n[supervise]\nstart_timeout = 300s\n",
        modules="jobs",
    )
    suite.module("jobs", SLOW.format(hold=str(hold)))
    with (
        systemd(suite.directory) as listener,
        suite.running("supervise", NOTIFY_SOCKET=listener.address),
    ):
        until(lambda: all_say(suite, listener, "starting"), what="a worker that starts")
        hold.unlink()
        until(lambda: all_say(suite, listener, "connecting"), what="a worker without its broker")
        with redis_server_at(scratch, port, password):
            until(lambda: all_say(suite, listener, "ready"), what="a worker that is ready")
