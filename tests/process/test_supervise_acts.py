"""Whatever another process of the suite's user does to supervisord, the suite recovers.

The process may be a task. The suite is as its settings say again.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, MultiCall, ServerProxy

import pytest

from support.suite import Suite
from support.supervised import programs, supervised
from support.wait import SHORTEST, until
from warren.control.supervisord_client import Transport
from warren.errors import Unavailable
from warren.status import programs_file as published
from warren.system.process import Process

INI = "[worker:a]\nconcurrency = 1\n[supervise]\nheartbeat_timeout = 5s\n"
PROGRAMS = ["beat", "quota-watchdog", "worker-a"]
FOREIGN = (
    "[program:{name}]\ncommand = sleep {seconds}\nstopsignal = USR1\nstopwaitsecs = "
    "3600\nautorestart = true\n"
)
Asked = Callable[[Suite, Any], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Suite, Process]]:
    """A suite with all its daemons."""
    suite = Suite(tmp_path_factory.mktemp("acts"), INI, modules="jobs")
    suite.module("jobs", "")
    with supervised(suite) as supervisor:
        yield suite, supervisor


def at_once(asked: Any, *calls: tuple[str, str]) -> None:
    """Several calls in one turn of supervisord's loop."""
    several = MultiCall(asked)
    for method, name in calls:
        getattr(several.supervisor, method)(*([name] if name else []))
    several()


def add(name: str) -> Asked:
    """A program that the settings do not have, put where Warren's own are."""

    def act(suite: Suite, asked: Any) -> None:
        path = suite.directory / "run" / "supervisor" / f"{name}.conf"
        path.write_text(FOREIGN.format(name=name, seconds=3601))
        at_once(asked, ("reloadConfig", ""), ("addProcessGroup", name))
        path.unlink()

    return act


def exchange(suite: Suite, asked: Any) -> None:
    """beat becomes another command under its own name."""
    path = suite.directory / "run" / "supervisor" / "beat.conf"
    path.write_text(FOREIGN.format(name="beat", seconds=3602))
    asked.supervisor.stopProcess("beat")
    at_once(
        asked, ("removeProcessGroup", "beat"), ("reloadConfig", ""), ("addProcessGroup", "beat")
    )


def remove(suite: Suite, asked: Any) -> None:
    for name in PROGRAMS:
        asked.supervisor.stopProcess(name)
        with suppress(Fault):
            asked.supervisor.removeProcessGroup(name)


def kill(suite: Suite, asked: Any) -> None:
    for name in PROGRAMS:
        with suppress(Fault):
            asked.supervisor.signalProcess(name, "KILL")


def garbage(suite: Suite, asked: Any) -> None:
    """Everything in the run directory that can be written is nonsense."""
    run = suite.directory / "run"
    names = ("programs.json", "settings.json", "supervisord.conf", "supervisord.pid")
    for path in [*(run / name for name in names), *(run / "supervisor").iterdir()]:
        path.write_bytes(b"\xff\xfe[garbage")
    with suppress(Fault):
        asked.supervisor.reloadConfig()
    os.kill(asked.pid, signal.SIGHUP)


def fifos(suite: Suite, asked: Any) -> None:
    """Whoever opens one of these waits for ever."""
    run = suite.directory / "run"
    # it is started again a second later, and meets the one in its capture file's place
    asked.supervisor.stopProcess("worker-a")
    for name in (
        "programs.json",
        "programs.json.new",
        "settings.json",
        "supervisord.pid",
        "supervisord.conf",
        "heartbeats/beat.json",
        "supervisor/beat.conf",
    ):
        (run / name).unlink(missing_ok=True)
        with suppress(FileExistsError):
            os.mkfifo(run / name)
    (suite.directory / "log" / "worker-a.out").unlink(missing_ok=True)
    os.mkfifo(suite.directory / "log" / "worker-a.out")
    os.kill(asked.pid, signal.SIGHUP)


def directories(suite: Suite, asked: Any) -> None:
    """The acts are directories in place of files, and a file in place of a directory.

    Another act takes away the rights to the run directory.
    """
    run = suite.directory / "run"
    for name in ("programs.json", "settings.json", "supervisord.pid", "supervisor.sock"):
        (run / name).unlink()
        (run / name / "full").mkdir(parents=True)
    shutil.rmtree(run / "heartbeats")
    (run / "heartbeats").touch()
    run.chmod(0)


def unlink(suite: Suite, asked: Any) -> None:
    for path in (suite.directory / "run").iterdir():
        if not path.is_dir():
            path.unlink()


def unlink_socket(suite: Suite, asked: Any) -> None:
    (suite.directory / "run" / "supervisor.sock").unlink()


def replace_socket(suite: Suite, asked: Any) -> None:
    path = suite.directory / "run" / "supervisor.sock"
    path.unlink()
    path.symlink_to("/dev/null")


def move(suite: Suite, asked: Any) -> None:
    (suite.directory / "run").rename(
        suite.directory / f"moved-{len(list(suite.directory.iterdir()))}"
    )


def twice(suite: Suite, asked: Any) -> None:
    for _ in range(2):
        with suppress(Fault):
            asked.supervisor.startProcess("beat")
    asked.supervisor.clearLog()
    for name in PROGRAMS:
        asked.supervisor.clearProcessLogs(name)
        asked.supervisor.sendProcessStdin(name, "nonsense")


ACTS: dict[str, tuple[Asked, str]] = {
    "stop all": (lambda suite, asked: asked.supervisor.stopAllProcesses(), "program_restored"),
    "remove": (remove, "program_restored"),
    "add": (add("anything"), "program_removed"),
    "add a worker": (add("worker-none"), "program_removed"),
    "exchange": (exchange, "program_removed"),
    "kill all": (kill, ""),
    "stop by signal": (
        lambda suite, asked: asked.supervisor.signalProcess("beat", "STOP"),
        "program_hung",
    ),
    "terminate by signal": (lambda suite, asked: asked.supervisor.signalAllProcesses("TERM"), ""),
    "quit by signal": (lambda suite, asked: asked.supervisor.signalAllProcesses("USR2"), ""),
    "garbage": (garbage, "run_directory_restored"),
    "fifos": (fifos, "run_directory_restored"),
    "directories": (directories, "run_directory_restored"),
    "unlink": (unlink, "run_directory_restored"),
    "unlink the socket": (unlink_socket, "run_directory_restored"),
    "replace the socket": (replace_socket, "run_directory_restored"),
    "move the directory": (move, "run_directory_restored"),
    "start twice, clear, write": (twice, ""),
}
#: Those after which there are other processes.
ENDING = {
    "stop all",
    "remove",
    "exchange",
    "kill all",
    "stop by signal",
    "terminate by signal",
    "quit by signal",
    "fifos",
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ACTS)
def test_the_suite_is_as_its_settings_say_again(made: tuple[Suite, Process], name: str) -> None:
    """After each act supervisord is the same process, and all programs work.

    No other one is there, and the log reports it.
    """
    suite, supervisor = made
    act, event = ACTS[name]
    before = until(lambda: pids(suite), what="the socket")
    said = len(suite.logged("supervisord", event)) if event else 0

    def do() -> None:
        # Over a connection of its own: one that broke stays broken.
        asked = ServerProxy(
            "http://localhost", transport=Transport(suite.directory / "run" / "supervisor.sock")
        )
        asked.__dict__["pid"] = supervisor.pid
        with suppress(OSError):  # the socket may have been made again before the answer came
            act(suite, asked)

    def told() -> bool:
        return len(suite.logged("supervisord", event)) > said

    do()
    if event:
        with suppress(AssertionError):
            until(told, SHORTEST, what=event)
        # The suite was still mending what the act before had done, and took this one's file away as
        # well.
        if not told():
            do()
            until(told, what=event)
    if name in ENDING:
        until(lambda: pids(suite) != before, what="another process")
    until(lambda: works(suite), what=f"all programs at work again; {suite.log('supervisord')[-5:]}")
    assert supervisor.alive
    assert sorted(until(lambda: pids(suite), what="the socket")) == PROGRAMS
    assert (
        sorted(
            path.name
            for path in (suite.directory / "run" / "supervisor").iterdir()
            if "none" in path.name
        )
        == []
    )
    assert not [path for path in (suite.directory / "run").rglob("*") if path.is_fifo()]
    assert not suite.logged("supervisord", "crashed")
    assert not suite.logged("supervisord", "reload_refused")
    assert not suite.logged("supervisord", "supervision_failed")


def pids(suite: Suite) -> dict[str, int | None]:
    """The process of each program that supervisord has; empty while it cannot be asked."""
    with suppress(Unavailable):
        return {program.program: program.pid for program in programs(suite).values()}
    return {}


def works(suite: Suite) -> bool:
    """Return whether exactly the programs of the settings are ready.

    supervisord has just published the report.
    """
    report = published.read(suite.directory / "run").known
    if report is None:
        return False
    return (
        sorted(each.program for each in report.programs if each.ready)
        == PROGRAMS
        == sorted(each.program for each in report.programs)
    )


def sleeping(seconds: int) -> list[Path]:
    """The processes of a foreign program."""
    arguments = f"sleep\0{seconds}\0".encode()
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if _read(path) == arguments]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_foreign_program_leaves_no_process(made: tuple[Suite, Process]) -> None:
    """What was added and exchanged above has ended, whatever it wanted of a stop."""
    until(lambda: not sleeping(3601) and not sleeping(3602), what="no process of a foreign program")
