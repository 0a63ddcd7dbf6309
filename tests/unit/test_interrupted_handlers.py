"""The signal handlers of a daemon: each may be interrupted by another one at any instruction."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

import pytest

from support.forks import child, end
from support.suite import Suite
from warren.config import load
from warren.runtime.daemon import Daemon


@pytest.mark.parametrize("name", ["_on_stop", "_on_reload", "_on_dump"])
def test_a_handler_interrupts_another_one_at_every_instruction(scratch: Path, name: str) -> None:
    """A handler waits for nothing that the interrupted one holds.

    Two signals close together stopped a worker from ending.
    """
    daemon = Daemon(load(Suite(scratch, "[worker:a]\n").etc), "worker", "worker-a")
    done: list[int] = []

    def storm() -> None:
        handler = getattr(daemon, name)
        done.append(
            interrupted(
                lambda: handler(signal.SIGINT, None), lambda: daemon._on_stop(signal.SIGTERM, None)
            )
        )
        daemon.loop(lambda: None, lambda: 60.0)

    handlers = Thread(target=storm, daemon=True)  # one that waits for itself is left behind
    handlers.start()
    handlers.join(60)
    assert not handlers.is_alive()
    assert done[0] > 5


def test_a_signal_after_the_last_line_changes_no_exit_code(scratch: Path) -> None:
    """Python gives each handled signal back to the kernel as it ends.

    A late signal must not look like a crash.
    """
    settings = load(Suite(scratch, "[worker:a]\n").etc)

    def ended() -> None:
        daemon = Daemon(settings, "worker", "worker-a")
        daemon.start()
        daemon.stop()
        for number in (
            signal.SIGHUP,
            signal.SIGUSR1,
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGQUIT,
        ):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)  # as Python does at its end
            os.kill(os.getpid(), number)

    assert end(child(ended)) == 0


def interrupted(run: Callable[[], None], by: Callable[[], None]) -> int:
    """Run the first, and the second before each instruction of it; how often that was."""
    times = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal times
        frame.f_trace_opcodes = True
        if event == "opcode":
            times += 1
            by()  # Python traces nothing while it is in a trace function
        return trace

    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(None)
    return times
