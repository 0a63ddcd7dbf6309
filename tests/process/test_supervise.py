"""`warren supervise` as a real process with the real daemons: start, stop, faults."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.suite import ENVIRONMENT, WARREN, Suite, descendants, end
from support.supervised import INI, QUIET, programs, reload, supervised
from support.wait import TIMEOUT, end_of, run_to_end, until
from warren.system.lock_holder import lock_holder
from warren.system.process import Process


def test_the_suite_starts_and_stops_in_order(suite: Suite) -> None:
    """The suite is ready when every program runs.

    SIGTERM ends all, leaves nothing behind, and the code is 0.
    """
    with suite.running("supervise") as started:
        ready = suite.await_event("supervisord", "ready")
        assert sorted(ready["programs"]) == ["beat", "worker-a"]
        found = programs(suite)
        assert {program.state for program in found.values()} == {"RUNNING"}
        family = descendants(started.pid)
        assert {found["beat"].pid, found["worker-a"].pid} < {member.pid for member in family}
        started.terminate()
        assert end_of(started) == 0
    assert not any(member.alive for member in family)
    assert [line["event"] for line in suite.log("supervisord")][-1] == "stopped"
    assert not (suite.directory / "run" / "supervisor.sock").exists()
    assert not (suite.directory / "run" / "supervisord.pid").exists()


def test_a_person_at_a_terminal_is_told(suite: Suite) -> None:
    """On a terminal one line says that all is ready, and Ctrl-C stops the suite.

    A file gets no such line.
    """
    with supervised(suite):
        pass
    assert suite.output("supervise") == ""
    ours, theirs = pty.openpty()
    adopt = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    arguments = [sys.executable, "-c", adopt, str(WARREN), "--config", str(suite.etc), "supervise"]
    started = subprocess.Popen(
        arguments,
        env=ENVIRONMENT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        until(lambda: len(suite.logged("supervisord", "ready")) == 2, what="ready")
        assert select.select([ours], [], [], TIMEOUT)[0]
        assert (
            os.read(ours, 4096)
            == b"ready: worker-a, beat; stop with Ctrl-C; logs: warren logs -f\r\n"
        )
        os.write(ours, b"\x03")
        assert end_of(started) == 0
    finally:
        end(started)
        os.close(ours)


def test_workers_stop_side_by_side(suite: Suite) -> None:
    """Beat stops before the workers, which all drain at once.

    The watchdog is there until the last worker has ended.
    """
    suite.write("[worker:a]\nconcurrency = 1\n[worker:b]\nconcurrency = 1\n")
    with supervised(suite):
        pass
    stopped = [
        line["program"]
        for line in suite.log("supervisord")
        if line.get("message", "").startswith("stopped: ")
    ]
    assert (stopped[0], stopped[-1], len(stopped)) == ("beat", "quota-watchdog", 4)
    drained = [
        line["event"] for line in suite.log("worker") if line["event"] in ("stopping", "stopped")
    ]
    assert drained == ["stopping", "stopping", "stopped", "stopped"]


def test_nobody_else_can_look_or_meddle(program_status: tuple[Suite, Process]) -> None:
    """Directories, socket, logs and capture files are closed to other users.

    It does not matter what the umask was.
    """
    directory = program_status[0].directory
    assert (directory / "run" / "supervisor.sock").stat().st_mode & 0o777 == 0o700
    made = [
        path
        for name in ("run", "log", "state")
        for path in (directory / name, *(directory / name).rglob("*"))
    ]
    assert len(made) > 10
    assert [path for path in made if path.exists() and path.stat().st_mode & 0o027] == []
    modes = {name: (directory / name).stat().st_mode & 0o777 for name in ("state", "run", "log")}
    assert modes == {"state": 0o700, "run": 0o700, "log": 0o750}
    assert {path.stat().st_mode & 0o777 for path in (directory / "log").glob("*.log")} == {0o640}
    assert {path.stat().st_mode & 0o777 for path in (directory / "log").glob("*.out")} == {0o600}


def test_no_word_of_supervisord_is_noise_or_no_json(suite: Suite) -> None:
    """supervisord prints nothing on stdout or stderr, and logs no secret.

    Nothing sounds worse than it is.
    """
    suite.write(
        "[broker]\nurl = redis://user:s3cret@127.0.0.1:1/0\nconnect_timeout = 100ms\n" + INI
    )
    with suite.running("supervise"):
        suite.await_event("supervisord", "supervisor_record", program="beat", state="RUNNING")
        assert suite.output("supervise") == ""
    assert {line["level"] for line in suite.log("supervisord")} <= {"info", "warning"}
    assert "s3cret" not in "".join(path.read_text() for path in (suite.directory / "log").iterdir())


def test_a_second_supervisor_is_refused(program_status: tuple[Suite, Process]) -> None:
    """A run directory has one supervisord.

    Another one ends with 76 and says which process is in its way.
    """
    suite, supervisor = program_status
    before = programs(suite)
    second = suite.warren("supervise")
    assert second.returncode == 76
    assert str(supervisor.pid) in second.stderr
    assert programs(suite) == before


def test_a_run_directory_that_was_emptied(suite: Suite) -> None:
    """A suite whose files in the run directory were removed makes them again.

    It can be asked, and no second one can start.
    """
    run = suite.directory / "run"
    with supervised(suite) as supervisor:
        pids = {name: program.pid for name, program in programs(suite).items()}
        for path in list(run.iterdir()):
            # The suite writes there meanwhile, and begins to mend before the last file is gone.
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(
                missing_ok=True
            )
        suite.await_event("supervisord", "run_directory_restored")
        until(lambda: lock_holder(run / "supervisord.lock") == supervisor.pid, what="the lock")
        until(lambda: _text(run / "supervisord.pid") == f"{supervisor.pid}\n", what="the pid file")
        until(lambda: (run / "supervisor.sock").exists(), what="the socket")
        assert suite.warren("supervise").returncode == 76
        assert {name: program.pid for name, program in programs(suite).items()} == pids
        reload(suite, supervisor)
        assert not suite.logged("supervisord", "run_directory_lost")


def _text(path: Path) -> str:
    """Return what a file holds; nothing when it is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize(
    ("ini", "places"),
    [
        (
            "[worker:a]\nconcurency = 1\nprefetch = many\n[beet]\n",
            ["concurency", "prefetch", "[beet]"],
        ),
        ("[schedule:s]\ntask = jobs.none\nevery = 5s\n", ["jobs.none"]),
    ],
)
def test_nothing_starts_on_a_bad_file(suite: Suite, ini: str, places: list[str]) -> None:
    """Every problem is reported, those with the task modules too.

    The code is 78 and not even a directory is made.
    """
    suite.write(QUIET + ini)
    ended = suite.warren("supervise")
    assert ended.returncode == 78
    assert all(place in ended.stderr for place in places), ended.stderr
    assert not (suite.directory / "run").exists()


def unwritable_directory(suite: Suite) -> str:
    suite.head = suite.head.replace(f"{suite.directory}/state", "/proc/warren")
    return "/proc/warren"


def unwritable_log(suite: Suite) -> str:
    suite.head = suite.head.replace(f"{suite.directory}/log", "/proc/warren")
    return "/proc/warren"


@pytest.mark.parametrize("spoil", [unwritable_directory, unwritable_log])
def test_what_cannot_be_written_is_said_at_the_start(
    suite: Suite, spoil: Callable[[Suite], str]
) -> None:
    """A directory of state or logs that cannot be written ends the start with 73.

    A line names the directory.
    """
    where = spoil(suite)
    suite.write(INI)
    ended = suite.warren("supervise")
    assert ended.returncode == 73
    assert where in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_killed_daemon_is_back(program_status: tuple[Suite, Process]) -> None:
    """After kill -9 a daemon runs again, and the log says what happened to which program."""
    suite, _ = program_status
    killed = programs(suite)["worker-a"].pid
    assert killed
    os.kill(killed, signal.SIGKILL)
    line = suite.await_event(
        "supervisord", "supervisor_record", program="worker-a", signal="SIGKILL"
    )
    assert line["level"] == "warning"
    assert line["expected"] is False
    until(lambda: programs(suite)["worker-a"].pid not in (None, killed), what="another worker")
    until(lambda: programs(suite)["worker-a"].state == "RUNNING", what="another worker to run")


def test_a_killed_supervisor_leaves_nothing_in_the_way(suite: Suite) -> None:
    """After kill -9 of supervisord the suite can be started again at once."""
    with supervised(suite) as supervisor:
        os.kill(supervisor.pid, signal.SIGKILL)
        until(lambda: not supervisor.alive)
        with supervised(suite):
            assert {program.state for program in programs(suite).values()} == {"RUNNING"}
            assert suite.output("supervise") == ""


def test_the_state_can_be_asked_for(program_status: tuple[Suite, Process]) -> None:
    """SIGUSR1 logs the state of every program."""
    suite, supervisor = program_status
    os.kill(supervisor.pid, signal.SIGUSR1)
    line = suite.await_event("supervisord", "state_dumped")
    assert sorted(each["program"] for each in line["programs"]) == ["beat", "worker-a"]
    assert {each["state"] for each in line["programs"]} <= {"RUNNING", "STARTING", "BACKOFF"}


def test_a_request_to_start_again_ends_with_the_code_that_means_it(suite: Suite) -> None:
    """supervisorctl reload stops all cleanly and ends with 75.

    systemd then starts the suite again.
    """
    with suite.running("supervise") as started:
        suite.await_event("supervisord", "ready")
        socket = suite.directory / "run" / "supervisor.sock"
        ctl = Path(sys.executable).with_name("supervisorctl")
        run_to_end([ctl, "-s", f"unix://{socket}", "reload"], check=True, stdout=subprocess.DEVNULL)
        assert end_of(started) == 75
