"""Processes that want the same locks, and proof that one alone is inside at any time."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

from support.forks import child
from support.wait import until
from warren.system.process import Process, current_process
from warren.tasks.lock_contention import Busy
from warren.tasks.unique import unique


class Inside:
    """A file that says which process is inside. It knows nothing of the lock that is tested."""

    def __init__(self, directory: Path, key: str) -> None:
        self.marker = directory / f"inside-{key}"
        self.entries, self.violations = directory / "entries", directory / "violations"

    def __enter__(self) -> None:
        me = current_process()
        if other := self._other():
            _append(self.violations, f"{me.pid} entered beside {other.pid}")
        self.marker.write_text(f"{me.pid} {me.start}", encoding="ascii")
        _append(self.entries, str(me.pid))

    def __exit__(self, *_: object) -> None:
        if (other := self._other()) != current_process():
            _append(self.violations, f"{os.getpid()} found {other} at its end")
        self.marker.unlink()

    def _other(self) -> Process | None:
        with suppress(FileNotFoundError, ValueError):
            pid, start = map(int, self.marker.read_text(encoding="ascii").split())
            if (found := Process(pid, start)).alive:
                return found
        return None


def contender(directory: Path, key: str, rounds: int, seed: int) -> int:
    """Fork a process that is inside so many times; return its number."""

    def work() -> None:
        chance, done = random.Random(seed), 0
        while done < rounds:
            with suppress(Busy), unique(f"contend-{key}", wait=chance.random()):
                with Inside(directory, key):
                    time.sleep(chance.random() * 0.01)  # load: the work
                done += 1

    return child(work)


def holder(directory: Path, key: str) -> int:
    """Fork a process that holds the lock of a key until it is ended; return its number."""
    ready = directory / f"holds-{key}"
    ready.unlink(missing_ok=True)

    def work() -> None:
        with unique(key) as lock:
            ready.write_text(str(lock.token), encoding="ascii")
            while True:
                signal.pause()

    pid = child(work)
    until(lambda: ready.exists() and ready.read_text(), what="a holder")
    return pid


def free_after(key: str) -> float:
    """Return the seconds until the lock of a key is free."""
    began = time.monotonic()

    def taken() -> bool:
        with suppress(Busy), unique(key):
            return True
        return False

    until(taken, what=f"the lock {key}", every=0.05)
    return time.monotonic() - began


def _append(path: Path, line: str) -> None:
    with open(path, "a", encoding="ascii") as file:
        file.write(f"{line}\n")
