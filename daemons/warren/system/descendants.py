"""The processes that a process has started, and what they started: found by the kernel's lists, ended by a handle.

A number is never signalled by itself: another process may have it by then. pidfd_open(2) gives a handle on whoever has the
number, and its start says whether that is still the one that was meant.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Container
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from warren.system.process import Process, of

#: Rounds of looking and killing at most: what is killed leaves its own children to this process, which the next round finds.
_ROUNDS = 50
#: Seconds between two rounds.
_PAUSE = 0.002


@dataclass(frozen=True)
class Swept:
    """What became of leftovers: who was still alive at the last look, and whom it ended, with their names."""

    living: list[Process]
    ended: dict[Process, str]


def children(pid: int, spare: Container[int] = ()) -> list[Process]:
    """Return the children of a process that nobody has waited for yet, zombies included, but for the numbers in `spare`."""
    found = [of(number) for number in _numbers(pid) if number not in spare]
    return [process for process in found if process is not None]


def below(pid: int) -> list[Process]:
    """Return the living descendants of a process, without itself."""
    found, waiting = [], [pid]
    while waiting:
        for child in children(waiting.pop()):
            waiting.append(child.pid)
            if child.alive:
                found.append(child)
    return found


def kill(process: Process) -> None:
    """Send SIGKILL to this process and to no other that may have its number by now."""
    with suppress(OSError):  # gone, or of another user
        handle = os.pidfd_open(process.pid)
        try:
            if of(process.pid) == process:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def sweep(spare: Container[int], is_leftover: Callable[[Process], bool], seconds: float) -> Swept:
    """Kill those children of the calling process that are leftovers, and what they leave in turn.

    `spare` holds numbers of children that are none. The caller has to be a child subreaper: whoever loses its parent below it
    becomes its child, and a leftover. Waits up to so many seconds for the dead, and takes in their exit status.
    """
    deadline = time.monotonic() + seconds
    living: list[Process] = []
    ended: dict[Process, str] = {}
    for _ in range(_ROUNDS):
        found = [child for child in children(os.getpid(), spare) if is_leftover(child)]
        living = [child for child in found if child.alive]
        for child in living:
            ended.setdefault(child, _name(child.pid))
            kill(child)
        _reap(found)
        if not found or time.monotonic() > deadline:
            break
        time.sleep(_PAUSE)
    return Swept(living, ended)


def _reap(processes: Collection[Process]) -> None:
    for process in processes:
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _numbers(pid: int) -> list[int]:
    numbers = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # each thread has a list of those that it started
            with suppress(OSError):
                numbers += [int(word) for word in Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split()]
    return numbers
