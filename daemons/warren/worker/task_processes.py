"""The processes that the tasks of a worker have started.

They end with the process that ran the task, and keep the task's slots open until then. Each pool
child is a child subreaper, and so is the worker. A process that a task starts stays below its pool
child, whatever it does to get away. It becomes the worker's child when the pool child ends:
cleanly, by a time limit, by a kill, at recycling or at the stop. The worker then kills it. No
process is killed while its pool child lives: a task may start a helper for the tasks after it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Container
from contextlib import suppress
from functools import cache
from signal import SIGKILL

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.descendants import Swept, below, children, kill, sweep
from warren.system.process import Process, adopt_orphans

#: The most seconds that the main loop waits until killed leftovers are gone.
DEATH = 0.5
#: The most seconds that the end of the worker waits until killed leftovers are gone.
LAST_DEATH = 3.0
#: The most seconds that the main loop waits until a killed pool child is gone.
CHILD_DEATH = 2.0


class TaskProcesses:
    """The descendants of one worker, as its main loop handles them."""

    def __init__(self) -> None:
        self._pool: Callable[[], Container[int]] = tuple
        self._own_group = os.getpgid(0)
        self._children: dict[str, Process] = {}
        self._waiting: deque[tuple[list[Process], Callable[[], None]]] = deque()

    def begin(self, pool: Callable[[], Container[int]]) -> None:
        """Become the parent of all orphans among the descendants.

        pool: returns the process ids of the pool children.
        """
        adopt_orphans()
        self._own_group = os.getpgid(0)
        self._pool = pool

    def step(self) -> None:
        """End the processes that dead pool children have left; release slots whose holders have
        ended.

        Called a few times a second.
        """
        self._sweep(0.0)
        for _ in range(len(self._waiting)):
            holders, release = self._waiting.popleft()
            living = [holder for holder in holders if holder.alive]
            if living:
                self._waiting.append((living, release))
            else:
                release()

    def end_within(self, seconds: float) -> None:
        """Kill the pool children, and all their descendants, that still live after so many seconds.

        The worker is ending then.
        """

        def end() -> None:
            time.sleep(seconds)
            for process in below(os.getpid()):
                kill(process)

        # The main loop waits for its children by then. The thread ends with the process, mostly
        # long before this time has passed.
        threading.Thread(target=end, name="end-pool", daemon=True).start()

    def end(self) -> None:
        """End all processes that are left at the end of the worker.

        They include processes that task modules have started at their import.
        """
        _tell(sweep((), lambda _: True, LAST_DEATH))

    # -- slots -------------------------------------------------------------------------------------

    def accepted(self, task_id: str, child: Process) -> None:
        """Note which pool child runs a task that was admitted with slots."""
        self._children[task_id] = child

    def settle(self, task_id: str, since: int, release: Callable[[], None]) -> None:
        """Call `release`, which lets the task's slots cool, when no process lives that the task has
        started.

        Such a process may still make the call, so the slot stays open: no other task gets it, and
        no window has a call too many. A process that started before the task was admitted (`since`,
        in the unit of `now`) belongs to another task. A process that an earlier task of the same
        child has started after that counts as well: then a slot stays open for longer than
        necessary.
        """
        child = self._children.pop(task_id, None)
        holders: list[Process] = []
        if child is not None and child.alive:
            holders = [each for each in below(child.pid) if each.start >= since]
        elif child is not None:
            holders = self._sweep(DEATH)
        if holders:
            self._waiting.append((holders, release))
        else:
            release()

    def _sweep(self, seconds: float) -> list[Process]:
        swept = sweep(self._pool(), self._is_foreign, seconds)
        _tell(swept)
        return swept.living

    def _is_foreign(self, child: Process) -> bool:
        """Return whether a child of the worker came from a pool child.

        A module may start a process at its import, or from a thread of the worker. Such a process
        is in the worker's group, and ends with the worker. Each pool child has its own group. Its
        descendants are in that group, or in a group that they have made.
        """
        try:
            return os.getpgid(child.pid) != self._own_group
        except OSError:
            return True  # the process is gone, or is a zombie that another process has waited for


def _tell(swept: Swept) -> None:
    if swept.ended:
        logger().warning(
            Event.LEFTOVERS_ENDED,
            processes={str(process.pid): name for process, name in swept.ended.items()},
        )


def has_descendants(since: int) -> bool:
    """Return whether the calling process has a living descendant that started at `since` or later.

    since: in the unit of `now`.
    """
    return bool(children(os.getpid())) and any(each.start >= since for each in below(os.getpid()))


def now() -> int:
    """Return the present time in the unit of a process's start: clock ticks since the boot."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _ticks())


class Zombies:
    """The dead children of a pool child that no process waits for.

    A task has left them behind (daemons), and they have ended since. They are reaped a minute after
    their death. Until then the task may ask for their exit status, as Popen does.
    """

    LOOK, DEAD_FOR = 10.0, 60.0

    def __init__(self) -> None:
        self._next = 0.0
        self._seen: dict[Process, float] = {}

    def step(self, now: float) -> None:
        """Look for dead children, if the last look was long enough ago.

        now: monotonic seconds.
        """
        if now < self._next:
            return
        self._next = now + self.LOOK
        dead = [child for child in children(os.getpid()) if not child.alive]
        self._seen = {child: self._seen.get(child, now) for child in dead}
        for child, since in self._seen.items():
            if now - since >= self.DEAD_FOR:
                with suppress(ChildProcessError):
                    os.waitpid(child.pid, os.WNOHANG)


@cache
def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")


def kill_and_wait(child: Process) -> None:
    """Kill a pool child and wait until it has ended.

    The kernel needs a few milliseconds for this.
    """
    deadline = time.monotonic() + CHILD_DEATH
    while child.alive and time.monotonic() < deadline:
        os.kill(child.pid, SIGKILL)
        time.sleep(0.001)
