"""An edit counts once a reload has taken it up, for every daemon and every ledger.

It does not count before, and not in part.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.suite import ENVIRONMENT, WARREN, Suite, children, descendants
from support.supervised import programs, supervised
from support.wait import end_of, output_of, until
from warren.quotas.ledger import Ledger
from warren.status.programs_file import read

QUOTA = """
[worker:a]
queues = default, site
concurrency = 1
[queue:site]
tasks = jobs.tick
[quota:site]
limit = {}
tasks = jobs.tick
[supervise]
start_timeout = {}
{}"""


def ini(limit: str, start_timeout: str = "5m", more: str = "heartbeat_timeout = 5m\n") -> str:
    return QUOTA.format(limit, start_timeout, more)


def ledger(suite: Suite) -> Ledger:
    return Ledger(suite.directory / "state" / "quota" / "site.ledger")


def limits(suite: Suite) -> tuple[int, float]:
    """Limit and window that calls are admitted by."""
    counts = ledger(suite).counts()
    return counts.limit, counts.window_s


def pid_of(suite: Suite, program: str) -> int:
    """The process of a program that does its work."""
    heartbeat = suite.heartbeat(program)
    return heartbeat["pid"] if heartbeat and heartbeat["state"] == "ready" else 0


def kill(suite: Suite, program: str) -> None:
    """Kills a daemon; returns when its successor does its work."""
    before = until(lambda: pid_of(suite, program), what=program)
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_of(suite, program) not in (0, before), what=f"the next {program}")


@contextmanager
def reloading(suite: Suite) -> Iterator[subprocess.Popen[str]]:
    """`warren reload`, which continues while the block looks."""
    arguments = [str(WARREN), "--config", str(suite.etc), "reload"]
    asked = subprocess.Popen(
        arguments, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield asked
    finally:
        asked.kill()
        end_of(asked)


def waits_for(suite: Suite, program: str) -> bool:
    """Whether the reload says that nothing but this program is missing."""
    report = read(suite.directory / "run").report
    return bool(report and report.doing and report.doing.what == f"waiting for {program}")


def test_an_edit_that_nobody_reloaded_reaches_no_daemon(suite: Suite) -> None:
    """Daemons that are killed come back with the settings that were accepted.

    It does not matter what /etc says by then.
    """
    suite.write(ini("5/h"))
    with supervised(suite):
        suite.write(ini("500/m"))
        for program in ("worker-a", "quota-watchdog"):
            kill(suite, program)
            assert limits(suite) == (5, 3600.0)
        suite.write("[worker:a]\nconcurency = 1\n")
        for program in ("worker-a", "quota-watchdog", "beat"):
            kill(suite, program)
        assert limits(suite) == (5, 3600.0)
        assert suite.warren("reload").returncode == 78
        suite.write(ini("500/m"))
        done = suite.warren("reload")
        assert done.returncode == 0, done.stderr
        assert limits(suite) == (500, 60.0)
        quotas = (suite.status() or {})["quotas"]
        assert [(quota["limit"], quota["window_s"]) for quota in quotas] == [("500/m", 60.0)]
    assert not (suite.directory / "run" / "settings.json").exists()


def spoil(path: Path) -> None:
    path.write_text("{}")


def foul(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "act", [Path.unlink, spoil, foul], ids=["removed", "other text", "a directory"]
)
def test_accepted_settings_that_a_task_has_spoilt(
    suite: Suite, act: Callable[[Path], object]
) -> None:
    """A daemon that starts just then is started again, and reads the settings once more.

    supervise has written them meanwhile.
    """
    suite.write(ini("5/h"))
    with supervised(suite):
        path = suite.directory / "run" / "settings.json"
        assert path.stat().st_mode & 0o777 == 0o600
        whole = path.read_text()
        suite.write(ini("500/m"))
        act(path)
        kill(suite, "worker-a")
        assert until(lambda: path.is_file() and path.read_text(), what="the file") == whole
        assert limits(suite) == (5, 3600.0)


def test_a_worker_with_the_settings_of_before_an_edit_changes_no_ledger(suite: Suite) -> None:
    """A stopped daemon continues when a reload has lowered the limit.

    It had read its settings before; the ledger keeps the new ones.
    """
    suite.write(ini("50/h"))
    with supervised(suite) as supervisor:
        before = until(lambda: pid_of(suite, "worker-a"), what="the worker")
        lock = suite.directory / "run" / "worker-a.lock"
        dead = [each.pid for each in descendants(before)]
        os.kill(supervisor.pid, signal.SIGSTOP)
        os.kill(before, signal.SIGKILL)
        with open(lock, "r+") as held:
            until(lambda: _locked(held.fileno()), what="the lock of the dead worker")
            held.truncate(0)  # by nobody known, as of an orphan: a successor waits
            os.kill(supervisor.pid, signal.SIGCONT)
            # It opens the lock when it has read the settings, and waits for it before it opens a
            # ledger.
            successor = until(
                lambda: _opened(set(children(supervisor.pid)) - {*dead}, lock),
                what="the successor at the lock",
            )
            os.kill(successor, signal.SIGSTOP)
        suite.write(ini("5/h"))
        with reloading(suite) as asked:
            until(lambda: limits(suite) == (5, 3600.0), what="the lower limit")
            os.kill(successor, signal.SIGCONT)
            said, wrong = output_of(asked)
            assert (asked.returncode, said) == (
                0,
                "the new settings are in force, and every daemon works\n",
            ), wrong
        assert programs(suite)["worker-a"].pid == successor
        assert limits(suite) == (5, 3600.0)
        assert [line["limit"] for line in suite.logged("worker", "settings_older")] == ["50/h"]
        assert not suite.logged("worker", "quota_changed")


def _locked(file: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _opened(pids: set[int], path: Path) -> int:
    """The one of these processes that has the file open; 0 for none."""
    for pid in pids:
        try:
            if any(os.readlink(entry) == str(path) for entry in Path(f"/proc/{pid}/fd").iterdir()):
                return pid
        except OSError:
            continue
    return 0


def test_a_reload_waits_for_the_watchdog(suite: Suite) -> None:
    """While the quota-watchdog is stopped nothing is reported to be in force.

    Then the ledger has the new limit first.
    """
    suite.write(ini("50/h"))
    with supervised(suite):
        watchdog = until(lambda: pid_of(suite, "quota-watchdog"), what="the watchdog")
        os.kill(watchdog, signal.SIGSTOP)
        suite.write(ini("5/h"))
        with reloading(suite) as asked:
            until(
                lambda: waits_for(suite, "quota-watchdog"),
                what="the reload to wait for the watchdog alone",
            )
            assert (asked.poll(), limits(suite)) == (None, (50, 3600.0))
            os.kill(watchdog, signal.SIGCONT)
            said, wrong = output_of(asked)
            assert (asked.returncode, said) == (
                0,
                "the new settings are in force, and every daemon works\n",
            ), wrong
            assert limits(suite) == (5, 3600.0)


def test_a_reload_says_which_ledger_it_did_not_reach(suite: Suite) -> None:
    """A ledger whose lock is held keeps its limit: the reload ends with 1 and names it.

    The next reload is whole.
    """
    suite.write(ini("50/h"))
    with supervised(suite):
        suite.write(ini("5/h", "1s", "heartbeat_timeout = 20s\n"))
        with open(ledger(suite).path, "r+b") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            done = suite.warren("reload")
        assert (done.returncode, done.stdout) == (1, "")
        assert (
            "not been taken up by quota-watchdog (quotas with their old settings: site)"
            in done.stderr
        )
        done = suite.warren("reload")
        assert (done.returncode, limits(suite)) == (0, (5, 3600.0)), done.stderr
