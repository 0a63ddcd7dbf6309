"""Workers that start slowly, and pools that end no task."""

from __future__ import annotations

import pytest

from support.broker_status import publish_queues
from support.suite import Suite
from support.supervised import QUIET, programs, supervised
from support.wait import until
from warren.app.factory import make_app
from warren.config import load

SLOW = (
    "[beat]\nenabled = false\n[worker:a]\nconcurrency = 1\n[supervise]\nstart_timeout = "
    "5s\nheartbeat_timeout = 5s\n"
)
#: Imports for 12 s, one small module after the other.
MANY = """
import sys, time
for number in range(12):
    time.sleep(1)
    try:
        __import__(f"nothing_{number}")
    except ImportError:
        pass
"""
#: Imports for 8 s, without a sign of life.
ONE = (
    "import os, time\nif not os.environ.get('CHECKED') and 'worker' in __import__('sys').argv: "
    "time.sleep(8)\n"
)


@pytest.mark.timeout(900)
def test_a_start_with_progress_is_no_hang(suite: Suite) -> None:
    """A worker whose imports take longer than start_timeout comes up at its first try.

    It imports module after module.
    """
    suite.module(
        "jobs",
        "import sys\nif 'worker' in sys.argv:\n"
        + "".join(f"    {line}\n" for line in MANY.splitlines()),
    )
    suite.write(QUIET + SLOW)
    with supervised(suite):
        assert not suite.logged("supervisord", "program_hung")
        assert len(suite.logged("worker", "started")) == 1


@pytest.mark.timeout(900)
def test_a_start_without_progress_has_twice_the_time_at_the_next_try(suite: Suite) -> None:
    """It is ended once, which names the option to raise, and the second try is long enough."""
    suite.module("jobs", ONE)
    suite.write(QUIET + SLOW)
    with supervised(suite):
        until(
            lambda: (
                programs(suite)["worker-a"].state == "RUNNING" and suite.logged("worker", "ready")
            ),
            what="a ready worker",
        )
        [hung] = suite.logged("supervisord", "program_hung")
        assert "showed no progress for 5 s" in hung["reason"]
        assert "[supervise] start_timeout" in hung["remedy"]


@pytest.mark.timeout(900)
def test_a_pool_that_ends_no_task_is_told(suite: Suite) -> None:
    """Both processes run tasks that never end while another waits.

    There is one event with their ids, and a warning of health.
    """
    suite.module(
        "jobs",
        "import time\nfrom celery import shared_task\n@shared_task(name='jobs.hang')\ndef "
        "hang():\n    time.sleep(9999)\n",
    )
    suite.write(
        QUIET
        + (
            "[beat]\nenabled = false\n[worker:a]\nconcurrency = 2\nstop_timeout = "
            "0s\n[supervise]\nblocked_timeout = 2s\n"
        )
    )
    app = make_app(load(suite.etc))

    def told() -> bool:
        """After another look of the quota-watchdog at the queue."""
        publish_queues(suite.directory / "run", default=1)
        return "blocked" in suite.warren("health", "worker").stdout

    with supervised(suite):
        ids = [app.send_task("jobs.hang", queue="default").id for _ in range(4)]
        until(told, what="a warning of health")
        [line] = suite.logged("supervisord", "worker_blocked")
        assert set(line["tasks"]) < set(ids)
        assert (line["program"], line["waiting"], len(line["tasks"])) == (
            "worker-a",
            {"default": 1},
            2,
        )
        health = suite.warren("health", "worker")
        assert health.returncode == 1
        assert health.stdout.startswith(
            "WARNING: worker-a is blocked: none of its processes has ended a task for "
        )
        assert all(each in health.stdout for each in line["tasks"])
        shown = suite.warren("status").stdout
        assert "oldest task" in shown
        assert "worker-a is blocked" in shown
