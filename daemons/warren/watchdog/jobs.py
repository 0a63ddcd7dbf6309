"""The jobs of the quota-watchdog in one table: each has a name, an interval and a function.

Each job has a thread of its own. So a job that hangs or fails delays no other job, and a job that
has to run each second does not wait for a slow disk. The looks at the broker and at the results'
server are not jobs, because each keeps a connection from one look to the next (broker_monitor.py,
result_store_watch.py). The job `status` only reads the last of these looks.
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

#: The most seconds between two ticks of the main loop, and between two writes of the status.
#: Heartbeat and status file do not wait for the next look at the quotas.
TICK = 1.0
#: The name of the job that looks at the quotas.
QUOTAS = "quotas"
#: Seconds that a run may take. After them the watchdog gives no sign of life until the run ends.
_GRACE = 1.0
#: Seconds between two removals of old published files.
_CLEANING = 60.0
#: Seconds that the end of the watchdog waits for unfinished runs. A run that is cut off then is
#: like a run of a killed process: ledgers and messages survive it.
_LAST_RUNS = 5.0


@dataclass(frozen=True)
class Job:
    """One job: what the watchdog does repeatedly.

    interval: returns the seconds from the end of one run to the begin of the next run. It is called
    after each run, because a reload may change the interval.
    """

    name: str
    interval: Callable[[], float]
    run: Callable[[], None]


def table(
    settings: Callable[[], Settings],
    look_at_quotas: Callable[[], None],
    restore_messages: Callable[[], None],
    publish: Callable[[], None],
    remove_files: Callable[[], None],
) -> tuple[Job, ...]:
    """Return all jobs of the watchdog. `settings` returns the settings in force at that moment."""

    def interval() -> float:
        return settings().watchdog.interval

    return (
        Job(QUOTAS, interval, look_at_quotas),
        Job("messages", interval, restore_messages),
        Job("status", lambda: min(TICK, interval()), publish),
        Job("published files", lambda: _CLEANING, remove_files),
    )


class Jobs:
    """The threads that run the jobs."""

    def __init__(self, jobs: tuple[Job, ...], recovered: Callable[[], None]) -> None:
        """Prepare a thread for each job.

        recovered: called when a job that was late has ended a run well.
        """
        self._loops = [_Loop(job, recovered) for job in jobs]
        self._paused = False

    def start(self) -> None:
        """Run each job now, and then again after its interval."""
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Begin no further run, and wait for the unfinished runs.

        Waits for _LAST_RUNS seconds at most.
        """
        for loop in self._loops:
            loop.stopped.set()
        deadline = time.monotonic() + _LAST_RUNS
        for loop in self._loops:
            if loop.is_alive():
                loop.join(max(0.0, deadline - time.monotonic()))

    @property
    def late(self) -> list[str]:
        """The jobs that did not end a run well in time. Such a job hangs, or fails, or has not run
        yet.

        During a pause no job is late, because none may run.
        """
        return [] if self._paused else [loop.name for loop in self._loops if loop.late]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Wait for the unfinished runs. Within the block no job runs."""
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
        # The time (time.monotonic) by which this run, or else the next run, has to end well.
        self._deadline = float("-inf")
        self._last_error = ""

    @property
    def late(self) -> bool:
        return time.monotonic() > self._deadline

    def run(self) -> None:
        while not self.stopped.is_set():
            with self.running:
                if not self.stopped.is_set():  # `stopped` may have been set during a pause
                    self._run_once()
            self.stopped.wait(self._job.interval())

    def _run_once(self) -> None:
        self._deadline = min(self._deadline, time.monotonic() + _GRACE)
        try:
            self._job.run()
        except Exception as error:  # noqa: BLE001
            # Whatever the error is, the other jobs continue. The deadline of this job stays. If the
            # job fails until its deadline has passed, the watchdog gives no sign of life, and
            # supervise restarts the watchdog.
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
