"""The jobs of the quota-watchdog: a name, an interval and a function each, in one table.

Each job has a thread of its own. A job that hangs or fails delays no other job: one that has to run
each second does not stand behind a slow disk. The looks at the broker and at the results' server
are in no job: each holds a connection from one look to the next (broker_monitor.py,
result_store_watch.py), and the job `status` only reads what they have seen last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from warren.config import Settings
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.redaction.masker import redact

#: Seconds between two ticks of the main loop at most, and between two writes of the status:
#: heartbeat and status file do not wait for the next look at the quotas.
TICK = 1.0
#: The name of the job that looks at the quotas.
QUOTAS = "quotas"
#: Seconds that a run may take before the watchdog gives no sign of life any more.
_GRACE = 1.0
#: Seconds that the end of the watchdog waits for runs that are under way. A run that is cut off is
#: like one that was killed, which ledgers and messages survive.
_LAST_RUNS = 5.0


@dataclass(frozen=True)
class Job:
    """What the watchdog does again and again.

    `interval` returns the seconds from the end of one run to the begin of the next. It is asked
    after each run, because a reload may change it.
    """

    name: str
    interval: Callable[[], float]
    run: Callable[[], None]


def table(
    settings: Callable[[], Settings],
    look_at_quotas: Callable[[], None],
    restore_messages: Callable[[], None],
    publish: Callable[[], None],
) -> tuple[Job, ...]:
    """Return all jobs of the watchdog. `settings` returns the settings of the moment."""

    def interval() -> float:
        return settings().watchdog.interval

    return (
        Job(QUOTAS, interval, look_at_quotas),
        Job("messages", interval, restore_messages),
        Job("status", lambda: min(TICK, interval()), publish),
    )


class Jobs:
    """The threads that run the jobs."""

    def __init__(self, jobs: tuple[Job, ...], recovered: Callable[[], None]) -> None:
        """Prepare a thread for each job; `recovered` is called when a late one has ended well."""
        self._loops = [_Loop(job, recovered) for job in jobs]
        self._paused = False

    def start(self) -> None:
        """Run each job now, and then again after its interval."""
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Begin no further run, and wait for the runs that are under way, a few seconds at most."""
        for loop in self._loops:
            loop.stopped.set()
        deadline = time.monotonic() + _LAST_RUNS
        for loop in self._loops:
            if loop.is_alive():
                loop.join(max(0.0, deadline - time.monotonic()))

    @property
    def late(self) -> list[str]:
        """The jobs that did not end well in time: each hangs, fails, or has never run so far.

        In a pause no job is late: none may run.
        """
        return [] if self._paused else [loop.name for loop in self._loops if loop.late]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Wait for the runs that are under way; within the block no job runs."""
        with ExitStack() as stack:
            for loop in self._loops:
                stack.enter_context(loop.running)
            self._paused = True
            try:
                yield
            finally:
                self._paused = False


class _Loop(threading.Thread):
    """The thread of one job."""

    def __init__(self, job: Job, recovered: Callable[[], None]) -> None:
        super().__init__(name=job.name, daemon=True)
        self._job, self._recovered = job, recovered
        self.stopped = threading.Event()
        self.running = threading.Lock()  # held during each run
        # The moment (time.monotonic) by which the run of now, or else the next, has to end well.
        self._deadline = float("-inf")
        self._last_error = ""

    @property
    def late(self) -> bool:
        return time.monotonic() > self._deadline

    def run(self) -> None:
        while not self.stopped.is_set():
            with self.running:
                if not self.stopped.is_set():  # it may have been set during a pause
                    self._run_once()
            self.stopped.wait(self._job.interval())

    def _run_once(self) -> None:
        self._deadline = min(self._deadline, time.monotonic() + _GRACE)
        try:
            self._job.run()
        except Exception as error:  # noqa: BLE001
            # Whatever it is, the other jobs continue. The deadline stays, and passes: where the job
            # keeps failing, the watchdog gives no sign of life, and supervise starts it again.
            self._failed(redact(f"{type(error).__name__}: {error}"))
            return
        was_late, self._last_error = self.late, ""
        self._deadline = time.monotonic() + self._job.interval() + _GRACE
        if was_late:
            self._recovered()

    def _failed(self, reason: str) -> None:
        before, self._last_error = self._last_error, reason
        if reason != before:
            logger().error(
                Event.JOB_FAILED,
                job=self._job.name,
                reason=reason,
                consequence="the job is tried again; if it still fails, the watchdog restarts",
                exc_info=True,
            )
