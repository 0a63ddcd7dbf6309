"""Forked processes: what a test does in one, and how it ended."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def child(work: Callable[[], object]) -> int:
    """Forks a process that does `work`; it ends with 0 when that raised nothing.

    Gives its number.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def end(pid: int) -> int:
    """Waits for a child; its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(line: int, work: Callable[[], object], place: str | tuple[str, ...]) -> bool:
    """Run `work` in a process that kills itself at its line-th line within `place`.

    `place` is a file, a directory, or several of them.

    False when it has fewer lines there.
    """
    left = [line]

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(place):
            return None
        if event == "line":
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
        return trace

    def traced() -> None:
        sys.settrace(trace)
        work()

    code = end(child(traced))
    assert code in (0, -signal.SIGKILL)
    return code != 0
