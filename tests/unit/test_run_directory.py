"""The run directory, moved or removed at any moment of supervisord's step."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from warren.config import load
from warren.supervise.programs import supervisor_files
from warren.supervise.programs.directories import make_directories
from warren.supervise.programs.run_directory import RunDirectory
from warren.system.obstacles import MARK
from warren.system.run_lock import Lock

#: Modules whose functions ask the kernel.
KERNEL = ("posix", "_io", "io", "_socket", "fcntl")


class Made:
    """A run directory, kept as supervisord keeps its own."""

    def __init__(self, directory: Path) -> None:
        etc = directory / "etc"
        etc.mkdir()
        (etc / "warren.ini").write_text(
            f"[app]\nstate_dir = {directory}/state\nlog_dir = {directory}/log\nrun_dir = "
            f"{directory}/run\n[worker:a]\n",
            encoding="utf-8",
        )
        self.run = directory / "run"
        self.away = directory / "away"
        settings = load(etc)
        make_directories(settings)
        self.lock = Lock(self.run)
        options: Any = supervisor_files.read(settings)
        options.make_logger()
        options.openhttpservers(self)
        self.suite = SimpleNamespace(settings=settings, options=options)
        self.kept = RunDirectory(self.lock)
        self.step()

    def step(self) -> None:
        """One turn."""
        self.kept.step(self.suite)

    def whole(self) -> bool:
        """Return whether everything is there that the suite and its daemons need."""
        try:
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(str(self.run / "supervisor.sock"))
            named = (self.run / "supervisord.pid").read_text(encoding="ascii")
        except OSError:
            return False
        present = (self.run / "heartbeats").is_dir() and (self.run / "supervisor").is_dir()
        return not self.lock.lost and present and named == f"{os.getpid()}\n"

    def close(self) -> None:
        """Let it go."""
        self.suite.options.close_httpservers()
        self.lock.release()


@pytest.fixture
def made(scratch: Path) -> Iterator[Made]:
    """A directory whose socket has a path that is short enough."""
    found = Made(scratch)
    yield found
    found.close()


def move(made: Made) -> None:
    shutil.rmtree(made.away, ignore_errors=True)
    os.rename(made.run, made.away)


def remove(made: Made) -> None:
    shutil.rmtree(made.run)


def spoil(made: Made) -> None:
    for name in ("heartbeats", "supervisor"):
        if (made.run / name).is_dir():
            shutil.rmtree(made.run / name)
            (made.run / name).touch()


def close(made: Made) -> None:
    """The socket alone: the lock stays, so nothing else says that the directory was touched."""
    (made.run / "supervisor.sock").unlink(missing_ok=True)


def nothing(made: Made) -> None:
    """All is as it should be."""


def unlink(made: Made) -> None:
    (made.run / "supervisor.sock").unlink()
    (made.run / "supervisord.pid").unlink()


def plant(made: Made) -> None:
    os.mkfifo(made.run / "heartbeats" / "beat.json")
    (made.run / "programs.json").mkdir()
    made.run.chmod(0)


def at(number: int, act: Callable[[], None], step: Callable[[], None]) -> bool:
    """Take the step, with the act just before its n-th system call.

    Return whether there were so many calls.
    """
    asked = [0]

    def look(frame: Any, event: str, function: Any) -> None:
        if event != "c_call" or _home(function) not in KERNEL:
            return
        asked[0] += 1
        if asked[0] == number:
            sys.setprofile(None)
            act()

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        step()
    finally:
        sys.setprofile(before)
    return asked[0] >= number


def _home(function: Any) -> str:
    return str(
        getattr(function, "__module__", None)
        or type(getattr(function, "__self__", None)).__module__
    )


@pytest.mark.parametrize("act", [move, remove, spoil, close])
@pytest.mark.parametrize("before", [nothing, unlink, plant, move])
def test_a_directory_that_goes_within_a_step(
    made: Made, before: Callable[[Made], None], act: Callable[[Made], None]
) -> None:
    """Whatever the step was about to do, it raises nothing.

    The next steps make the directory again.
    """
    steps = 0
    while True:
        assert made.whole()
        # What only a reload reads, which writes it first, is written again where the whole
        # directory was gone.
        assert act is spoil or (made.run / "supervisor" / "worker-a.conf").is_file()
        before(made)
        gone = False

        def go() -> None:
            nonlocal gone
            gone = made.run.is_dir()
            if gone:
                act(made)

        steps += 1
        reached = at(steps, go, made.step)
        for _ in range(3):
            if not made.whole():
                made.step()
        # a turn looks at each file: they would be more questions each time
        for kept in made.run.glob(f"*{MARK}*"):
            shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
        if not reached:
            break
    assert steps > 10


def test_what_no_step_can_mend_is_told_once(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    """A file where the directory belongs stays, as the settings name the directory.

    It is reported, and mended after.
    """
    move(made)
    made.run.touch()
    for _ in range(4):
        made.step()
    assert sum("RUN_DIRECTORY_LOST" in record.getMessage() for record in caplog.records) == 1
    made.run.unlink()
    made.step()
    assert made.whole()
