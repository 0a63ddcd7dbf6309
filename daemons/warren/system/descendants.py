"""The descendants of a process: found by the kernel's lists, and ended by a handle.

No process is signalled by its number alone, because another process may have the number by then.
pidfd_open(2) gives a handle of the process that has the number. The start tick then says whether
this is still the right process.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Container
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from warren.system.process import Process, process_of

#: Rounds of search and kill at most: a killed process leaves its children to this process, and the
#: next round finds them.
_ROUNDS = 50
#: Seconds between two rounds.
_PAUSE = 0.002


@dataclass(frozen=True)
class Swept:
    """The result of a sweep.

    living: the leftovers that lived at the last look. ended: the leftovers that were killed, with
    their names.
    """

    living: list[Process]
    ended: dict[Process, str]


def children(pid: int, spare: Container[int] = ()) -> list[Process]:
    """Return the children of a process that were not waited for yet, without those in `spare`.

    Zombies are included.
    """
    found = [process_of(number) for number in _numbers(pid) if number not in spare]
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
    """Send SIGKILL to this process.

    A later process with the same number does not get the signal.
    """
    with suppress(OSError):  # the process has ended, or belongs to another user
        handle = os.pidfd_open(process.pid)
        try:
            if process_of(process.pid) == process:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def sweep(spare: Container[int], is_leftover: Callable[[Process], bool], seconds: float) -> Swept:
    """Kill the children of the calling process that are leftovers, and the children that these
    leave.

    spare: the numbers of children that are not leftovers. The caller must be a child subreaper: a
    descendant that loses its parent then becomes the caller's child, and a leftover. Waits up to
    `seconds` for the end of the killed processes, and reads their exit status.
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
        for thread in os.listdir(f"/proc/{pid}/task"):  # each thread has a list of its own children
            with suppress(OSError):
                numbers += [
                    int(number)
                    for number in Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split()
                ]
    return numbers
