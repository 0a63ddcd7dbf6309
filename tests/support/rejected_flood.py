"""A flood of messages that no worker can run, then a good task.

It measures when the task had its result, and what the flood cost.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from support.later_flood import make, put
from support.suite import Suite
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.config import load

TIMEOUT = 600.0


@dataclass
class Outcome:
    """What a flood came to."""

    messages: int
    #: Rejected messages a second, from the start of the worker's look at them until the last one.
    rejected_s: float = 0.0
    #: Seconds from when the good task was sent until it had its result.
    good_s: float = 0.0
    #: Microseconds of CPU that the worker's own process used for each message.
    cpu_us: float = 0.0


def run(directory: Path, url: str, kind: str, messages: int) -> Outcome:
    """Put all messages into the queue of a stopped worker, then a good task.

    Then have the worker continue.
    """
    suite, found = make(directory, url, kind), Outcome(messages)
    app = make_app(load(suite.etc))
    try:
        with suite.running("worker", "a") as worker:
            suite.await_event("worker", "ready", TIMEOUT)
            assert result_of(app.send_task("jobs.add", [1, 2]), TIMEOUT) == 3
            used, begun = seconds_used(worker.pid), time.monotonic()
            put(suite, url, "default", foul(messages))
            good = app.send_task("jobs.add", [3, 4])
            sent = time.monotonic()
            assert result_of(good, TIMEOUT) == 7
            found.good_s = time.monotonic() - sent
            until(lambda: rejected(suite) >= messages, TIMEOUT, "all of them rejected")
            found.rejected_s = messages / (time.monotonic() - begun)
            found.cpu_us = (seconds_used(worker.pid) - used) / messages * 1e6
    finally:
        app.close()
    return found


def foul(messages: int) -> list[dict[str, Any]]:
    """Messages that are no task's."""
    return [{"headers": {"id": str(uuid4())}, "body": "{}"} for _ in range(messages)]


def rejected(suite: Suite) -> int:
    """How many messages the worker has rejected."""
    return int((suite.heartbeat("worker-a") or {"details": {}})["details"].get("rejected", 0))


def seconds_used(pid: int) -> float:
    """The CPU seconds that a process used by itself."""
    fields = (
        Path(f"/proc/{pid}/stat")
        .read_text(encoding="ascii", errors="replace")
        .rpartition(")")[2]
        .split()
    )
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
