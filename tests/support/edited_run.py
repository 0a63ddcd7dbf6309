"""A quota of real daemons that is edited and reloaded under faults.

Each process that holds a slot or a ledger is killed, stopped and frozen.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.edited_limits import Limits, Verdict, judge
from support.freezer import can_freeze, frozen
from support.provider import provider, seen
from support.suite import Suite, children, descendants
from support.wait import TIMEOUT, let_pass, until
from warren.app.factory import make_app
from warren.config import load
from warren.quotas.ledger import now_ns
from warren.system.process import Process, process_of

LIMITS = (5, 10, 20, 40, 80)
WINDOWS = (2, 3, 5, 10, 20)
JOBS = """
import socket, time
from celery import shared_task
from warren.quotas.client import NoAllowance, quota

def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

def tell(path, asked):
    with socket.socket(socket.AF_UNIX) as provider:
        provider.connect(path)
        provider.sendall(f"{asked}\\n".encode())
        provider.recv(1)

@shared_task(name="jobs.collect", ignore_result=True)
def collect(path, sent):
    tell(path, sent)

@shared_task(name="jobs.greedy", ignore_result=True)
def greedy(path, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        asked = now()
        try:
            with quota("provider").call(timeout=0.0):
                tell(path, asked)
        except NoAllowance:
            time.sleep(0.02)
"""
INI = """
{broker}
[queue:calls]
tasks = jobs.collect
[worker:one]
queues = calls, default
concurrency = 3
[worker:two]
queues = calls, default
concurrency = 3
[beat]
enabled = no
[quota:provider]
limit = {limit}/{window}s
tasks = jobs.collect
longest_call = 2s
"""
#: Seconds between two tasks that call once, and that a task waits at most: it is not to be long
#: since it was asked for.
PACE, EXPIRES = 0.15, 6
#: Seconds that a greedy task lasts, and between two.
GREEDY = 8.0
#: The daemons that are killed and stopped, and how often each of the faults is drawn.
VICTIMS = ("child", "worker", "quota-watchdog", "supervisord")
FAULTS = {"kill": 4, "stop": 6, "freeze": 1}


@dataclass
class Outcome:
    """What a run came to."""

    verdict: Verdict
    reloads: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    #: What went wrong with the run itself.
    errors: list[str] = field(default_factory=list)


class EditedRun:
    """One suite, started again by hand whenever its supervisord is killed, as systemd would."""

    def __init__(self, directory: Path, broker: str, seed: int) -> None:
        self.directory, self.broker = directory, broker
        self._dice = random.Random(seed)
        self._fault_dice = random.Random(seed + 1)
        self.now_in_etc = Limits(40, 5, 0.0)
        self.texts: list[Limits] = []
        self.suite = Suite(directory, self._ini(), modules="jobs")
        self.suite.module("jobs", JOBS)
        self._over = threading.Event()
        #: Whoever changes what may be in force: an edit with its reload, or a start of supervisord.
        self._changing = threading.Lock()
        self.found = Outcome(Verdict())

    def _ini(self) -> str:
        return INI.format(
            broker=self.broker, limit=self.now_in_etc.limit, window=self.now_in_etc.window
        )

    def __call__(self, seconds: float) -> Outcome:
        """Edit, reload, kill, stop and freeze for so long."""
        begun = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(provider(self.directory / "api", self.directory / "calls"))
            self._stack = stack
            with self._changing:
                self._start()
            workers = [
                threading.Thread(target=self._unless_over, args=(work,))
                for work in (self._send, self._harm)
            ]
            for worker in workers:
                worker.start()
            try:
                while time.monotonic() < begun + seconds and not self.found.errors:
                    let_pass(
                        self._dice.uniform(2.0, 25.0)
                        if seconds > 300
                        else self._dice.uniform(1.0, 5.0)
                    )
                    self._edit()
            finally:
                self._over.set()
                for worker in workers:
                    worker.join()
        self.found.seconds = time.monotonic() - begun
        self.found.verdict = judge(seen(self.directory / "calls"), self.texts)
        return self.found

    def _unless_over(self, work: Callable[[], None]) -> None:
        try:
            while not self._over.is_set():
                work()
        except Exception as error:  # noqa: BLE001  of a thread: the run must not go on without it
            self.found.errors.append(f"{work.__name__}: {error!r}")

    # -- what may be in force ----------------------------------------------------------------------

    def _edit(self) -> None:
        """Write other limits.

        Most edits are reloaded; the others may come into force by a start of supervisord alone.
        """
        with self._changing:
            limit = self._dice.choice((*LIMITS, self.now_in_etc.limit))
            window = self._dice.choice((*WINDOWS, int(self.now_in_etc.window)))
            self.now_in_etc = Limits(limit, window, _now())
            self.suite.write(self._ini())
            if self._dice.random() < 0.2:
                self.found.reloads["left out"] += 1
                return
            with self._taken_up() as taken:
                done = self.suite.warren("reload", within=TIMEOUT * 3)
                taken[0] = done.returncode == 0
            self.found.reloads[f"ended with {done.returncode}"] += 1

    @contextmanager
    def _taken_up(self) -> Iterator[list[bool]]:
        """Note that from now on what /etc says may be in force.

        Where the block says so, nothing else is in force behind it.
        """
        new = Limits(self.now_in_etc.limit, self.now_in_etc.window, _now())
        self.texts.append(new)
        alone = [False]
        yield alone
        if alone[0]:
            now = _now()
            for text in self.texts[:-1]:
                text.until = min(text.until, now)

    def _start(self) -> None:
        with self._taken_up() as taken:
            self.supervisor = self._stack.enter_context(self.suite.running("supervise"))
            until(self._ready, within=TIMEOUT * 3, what="the suite to be ready")
            taken[0] = True

    def _ready(self) -> bool:
        status = self.suite.status() or {"ready": False, "status": "it does not run"}
        if self.supervisor.poll() is not None or "fatal" in str(status).lower():
            raise AssertionError(f"{status} {self.suite.output('supervise')}")
        return bool(status["ready"])

    # -- calls -------------------------------------------------------------------------------------

    def _send(self) -> None:
        app: Any = make_app(load(self.suite.etc))
        greedy = 0.0
        path = str(self.directory / "api")
        while not self._over.is_set():
            with suppress(OSError):
                app.send_task("jobs.collect", [path, now_ns()], ignore_result=True, expires=EXPIRES)
                if time.monotonic() > greedy:
                    app.send_task(
                        "jobs.greedy", [path, GREEDY], ignore_result=True, expires=int(GREEDY)
                    )
                    greedy = time.monotonic() + GREEDY / 3
            let_pass(PACE)

    # -- faults ------------------------------------------------------------------------------------

    def _harm(self) -> None:
        dice = self._fault_dice
        if self.supervisor.poll() is not None:
            raise AssertionError(
                f"expected a supervisord that runs, found its end: {self.supervisor.returncode}"
            )
        let_pass(dice.uniform(0.2, 4.0))
        kinds = [kind for kind, weight in FAULTS.items() for _ in range(weight)]
        kind = dice.choice(kinds)
        if kind == "freeze":
            if not can_freeze():
                return
            with frozen([member.pid for member in descendants(self.supervisor.pid)]):
                let_pass(dice.uniform(0.5, 10.0))
            self.found.faults["freeze"] += 1
            return
        name = dice.choices(VICTIMS, weights=(6, 4, 4, 1))[0]
        victim = self._victim(name)
        if victim is None:
            return
        if kind == "kill":
            _send(victim, signal.SIGKILL)
            if name == "supervisord":
                self.supervisor.wait()
                with self._changing:
                    self._start()
        else:
            _send(victim, signal.SIGSTOP)
            # Some for longer than supervise waits for a sign of life.
            let_pass(dice.uniform(12.0, 25.0) if dice.random() < 0.1 else dice.uniform(0.1, 8.0))
            _send(victim, signal.SIGCONT)
        self.found.faults[f"{kind} {name}"] += 1

    def _victim(self, name: str) -> Process | None:
        if name == "supervisord":
            return process_of(self.supervisor.pid)
        heartbeats = [self._pid(program) for program in ("worker-one", "worker-two")]
        pids = heartbeats if name in ("worker", "child") else [self._pid("quota-watchdog")]
        if name == "child":
            pids = [pid for parent in filter(None, heartbeats) for pid in children(parent)]
        pids = [pid for pid in pids if pid]
        return process_of(self._fault_dice.choice(pids)) if pids else None

    def _pid(self, program: str) -> int:
        """The daemon's own process, if it is a descendant of the supervisord of now."""
        pid = int((self.suite.heartbeat(program) or {"pid": 0})["pid"])
        return pid if pid in {member.pid for member in descendants(self.supervisor.pid)} else 0


def _send(victim: Process, number: int) -> None:
    """Only to the process that was meant: it may have ended at any moment."""
    if victim.alive:
        with suppress(ProcessLookupError):
            os.kill(victim.pid, number)


def _now() -> float:
    return now_ns() / 1e9
