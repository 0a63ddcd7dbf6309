"""A full disk: tasks continue or stop cleanly, and the reason can be seen.

Nothing is corrupt once there is room again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Network
from support.installed import HEAD, WORKER, Installed
from support.wait import until

CALLS = "[queue:calls]\ntasks = jobs.nothing\n[worker:calls]\nqueues = calls\n"
QUOTA = "[quota:provider]\nlimit = 1000/s\ntasks = jobs.nothing\n"


@pytest.fixture(scope="module")
def small(net: Network, package: Path) -> Installed:
    """Yield a suite on the embedded broker with small file systems of its own.

    They are for its log and state directories.
    """
    (host,) = net.hosts("small")
    made = Installed(host, package, HEAD + WORKER + CALLS + QUOTA, broker=False)
    made.stop()
    for directory in ("log", "lib"):
        host.sh(
            f"mount -t tmpfs -o size=8m,mode=750 tmpfs /var/{directory}/warren; chown "
            f"warren:warren /var/{directory}/warren"
        )
    made.start()
    return made


@pytest.fixture
def fill(small: Installed) -> Iterator[None]:
    """Nothing: what a test has filled is emptied afterwards, whatever happened."""
    yield
    small.host.sh("rm -f /var/log/warren/fill /var/lib/warren/fill")


def _fill(suite: Installed, directory: str) -> None:
    suite.host.sh(f"dd if=/dev/zero of={directory}/fill bs=4k status=none || true")
    assert suite.host.sh(f"df --output=avail {directory} | tail -1").strip() == "0"


@pytest.mark.usefixtures("fill")
def test_a_full_disk_under_the_log_directory(small: Installed) -> None:
    """Tasks continue, and `warren health` names the disk.

    Afterwards the log says how many lines are missing, and every line is whole.
    """
    _fill(small, "/var/log/warren")
    small.send(1, 200)
    small.all_done(1, 200)
    until(
        lambda: "log" in small.host.run("warren", "health", "disk", check=False).stdout,
        what="health to name the log directory",
    )
    assert small.host.run("warren", "health", "disk", check=False).returncode == 2
    small.host.sh("rm /var/log/warren/fill")
    small.send(201, 210)
    small.all_done(201, 210)
    until(lambda: len(small.logged("worker", "task_succeeded")) >= 10, what="lines again")
    assert any(line.get("lost") for line in small.logged("worker", "cannot_write"))
    small.log("supervisord")


@pytest.mark.usefixtures("fill")
def test_a_full_disk_under_the_state_directory(small: Installed) -> None:
    """The embedded broker refuses what it cannot keep and says why.

    What it had taken runs; all works once there is room.
    """
    small.send_all("jobs.nothing", [[0.5]] * 10)
    _fill(small, "/var/lib/warren")
    refused = small.host.run("warren", "call", "jobs.nothing", check=False)
    assert refused.returncode == 69, refused
    assert "space" in refused.stderr, refused
    assert small.host.run("warren", "health", "disk", check=False).returncode == 2
    main = small.supervisord()
    small.host.sh("rm /var/lib/warren/fill")
    until(
        lambda: small.host.run("warren", "health", check=False).returncode == 0,
        what="a healthy suite",
    )
    until(
        lambda: len(small.logged("worker", "task_succeeded", task="jobs.nothing")) >= 10,
        what="the ten tasks",
    )
    small.send(1011, 1030)
    small.all_done(1011, 1030)
    assert small.supervisord() == main
    assert not small.logged("quota-watchdog", "ledger_damaged")
