"""The unit: what `systemctl start, status, reload, stop` and the boot do."""

from __future__ import annotations

import re
import time

from support.figures import Figure
from support.installed import RABBITMQ, WORKER, Installed
from support.wait import until

TWO = RABBITMQ + WORKER + "[worker:other]\nqueues = other\nconcurrency = {other}\n[queue:other]\n"
PROGRAMS = ("worker-main", "beat", "quota-watchdog")


def test_start_returns_when_the_suite_works(suite: Installed, figure: Figure) -> None:
    """When `systemctl start` returns, workers consume and beat is ready.

    `status` says so in one line; the unit starts at boot.
    """
    suite.stop()
    suite.configure(RABBITMQ + WORKER)
    began = time.monotonic()
    suite.start()
    figure("systemctl start", time.monotonic() - began, "returns when workers consume")
    assert all(suite.pid(program) for program in PROGRAMS)
    shown = suite.host.run("systemctl", "status", "--no-pager", "warren").stdout
    assert re.search(r"Status: \"ready: 1 worker\b.*\"", shown), shown
    assert suite.host.run("systemctl", "is-enabled", "warren").stdout == "enabled\n"


def test_the_unit_is_hardened(suite: Installed, figure: Figure) -> None:
    """`systemd-analyze security` of the installed unit gives 1.2 or better.

    No process of the suite runs as root.
    """
    said = suite.host.run("systemd-analyze", "security", "--no-pager", "warren").stdout
    score = float(re.findall(r"exposure level for warren\.service: ([0-9.]+)", said)[0])
    figure("systemd-analyze security", str(score), "<= 1.2")
    assert score <= 1.2
    cgroup = suite.host.run("systemctl", "status", "--no-pager", "warren").stdout
    pids = {int(pid) for pid in re.findall(r"[├└]─(\d+) ", cgroup)}
    assert pids, cgroup
    assert pids <= set(suite.processes())


def test_a_task_cannot_change_the_configuration(suite: Installed) -> None:
    """What the suite sees of /etc/warren is read-only, also the secrets that belong to its user."""
    inside = (
        "nsenter",
        "--target",
        str(suite.supervisord()),
        "--mount",
        "--",
        "touch",
        "/etc/warren/secrets/broker-url",
    )
    assert "Read-only file system" in suite.host.run(*inside, check=False).stderr


def test_stop_lets_running_tasks_finish_and_requeues_the_rest(suite: Installed) -> None:
    """Two tasks of five seconds run and others wait.

    Both finish, and the others run once after the next start.
    """
    suite.start()
    suite.send(1, 8, 5)
    until(lambda: len(suite.runs().begun) >= 2, what="two running tasks")
    suite.stop()
    runs = suite.runs()
    assert runs.begun == runs.ended
    assert 2 <= len(runs.ended) < 8
    assert not suite.processes()
    suite.start()
    done = suite.all_done(1, 8)
    assert not done.again()


def test_reload_changes_only_what_the_edit_touches(suite: Installed) -> None:
    """After an edit of one worker's concurrency `systemctl reload` replaces that worker.

    All else is the same.
    """
    suite.configure(TWO.format(other=1))
    suite.reload()
    programs = ("worker-main", "beat", "quota-watchdog")
    until(lambda: suite.pid("worker-other"), what="the added worker")
    before, other = [suite.supervisord(), *map(suite.pid, programs)], suite.pid("worker-other")
    suite.configure(TWO.format(other=2))
    suite.reload()
    suite.another("worker-other", other)
    assert [suite.supervisord(), *map(suite.pid, programs)] == before
