"""The two processes that a run starts, the API and the suite, which end in any case."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from warren.errors import WarrenError
from warren.system.process import Process, die_with_parent, process_of

TIMEOUT = 30.0  # seconds; more than the workers' stop_timeout


def start(arguments: list[str], out: Path, keep: bool) -> subprocess.Popen[bytes]:
    """Start `python -m` these words, with output to the file `out` (mode 0640).

    The process has a session of its own, which `end` ends. Without `keep` the process is also asked
    to stop when this process is killed.
    """
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640), "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=out.parent,
            start_new_session=True,
            preexec_fn=None if keep else partial(die_with_parent, signal.SIGTERM, os.getpid()),
        )


def alive_or_raise(process: subprocess.Popen[bytes], out: Path) -> None:
    """Raise WarrenError, with the end of the output, when the process has ended."""
    if process.poll() is not None:
        said = "\n".join(out.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise WarrenError(
            f"{out}: expected this program to run, found that it ended with "
            f"{process.returncode}:\n{said}"
        )


def end(process: Process, grace: float = TIMEOUT, hurried: Callable[[], bool] = bool) -> None:
    """Ask the process to stop, then kill what is left of its session.

    Waits for the end of the process at most `grace` seconds, or until `hurried` returns true.
    """
    if process.alive:
        os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while process.alive and time.monotonic() < deadline and not hurried():
        time.sleep(0.05)
    for member in session(process):
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)


def session(leader: Process) -> Iterator[int]:
    """Yield the processes that still run in the session which this process began."""
    if process_of(leader.pid) not in (None, leader):
        return  # another process has the number now, so a session of that number is not this one
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(ProcessLookupError):
                if os.getsid(int(entry.name)) == leader.pid:
                    yield int(entry.name)
