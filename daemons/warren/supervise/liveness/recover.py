"""Recovery of daemons that run but do not work: daemons that hang, are stuck, or grew too big."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from supervisor.states import ProcessStates

from warren.config import Settings
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.status import broker_file
from warren.supervise.daemon_process import DaemonProcess
from warren.supervise.liveness.blocked import Blocked, blocked
from warren.supervise.liveness.hung import is_hung, is_starting, silence_limit
from warren.supervise.liveness.max_memory import memory_ceiling
from warren.supervise.liveness.observe import LONGEST_STEP, Observation
from warren.supervise.liveness.readiness import at_work
from warren.supervise.liveness.stuck import Idleness, is_stuck, judge, waiting
from warren.system.process import resident


class Recovery:
    """Restarts of daemons that run but do not work; every daemon is looked at in each tick."""

    def __init__(self) -> None:
        self._idle: dict[str, Idleness] = {}
        self._blocked: dict[str, Blocked] = {}

    def step(
        self,
        processes: Sequence[DaemonProcess],
        observations: Mapping[str, Observation],
        settings: Settings,
        elapsed: float,
    ) -> None:
        """Look at every daemon once, `elapsed` seconds after the last look."""
        queues = consumed_queues(settings.app.run_dir)
        for process in processes:
            observation = observations.get(process.config.name)
            process.seen_at_work(
                process.state == ProcessStates.RUNNING and at_work(observation, settings)
            )
            if process.state != ProcessStates.RUNNING or process.doomed or observation is None:
                continue
            name = process.config.name
            if is_hung(observation, settings, process.slow_starts):
                self._abort(process, observation, settings)
            elif not self._too_big(process, settings) and name.startswith("worker-"):
                self._watch(process, observation, queues, settings, min(elapsed, LONGEST_STEP))

    def _abort(self, process: DaemonProcess, observation: Observation, settings: Settings) -> None:
        allowed = silence_limit(observation, settings, process.slow_starts)
        starting = is_starting(observation)
        why, remedy = (
            f"it showed no life for {allowed:.0f} s",
            "its stacks say where the process hangs",
        )
        if starting:
            why = f"its start showed no progress for {allowed:.0f} s"
            remedy = (
                "the next start may take twice as long; if a start is always slow, raise "
                "[supervise] start_timeout"
            )
        logger().error(
            Event.PROGRAM_HUNG,
            program=process.config.name,
            child_pid=process.pid,
            silent_s=round(observation.silence, 1),
            heartbeat=observation.state or "none yet",
            details=observation.details,
            stacks=process.config.stdout_logfile,
            reason=why,
            remedy=remedy,
        )
        process.abort(f"{why} and was ended; {remedy}", starting)

    def _too_big(self, process: DaemonProcess, settings: Settings) -> bool:
        ceiling = memory_ceiling(process.config.name, process.age, settings)
        if not ceiling:
            return False
        size = resident(process.pid)
        if size <= ceiling:
            return False
        sizes = {"resident_bytes": size, "max_memory_bytes": ceiling}
        logger().warning(
            Event.PROGRAM_TOO_BIG, program=process.config.name, child_pid=process.pid, **sizes
        )
        process.restart()
        return True

    def _watch(
        self,
        process: DaemonProcess,
        observation: Observation,
        queues: Mapping[str, int],
        settings: Settings,
        elapsed: float,
    ) -> None:
        name, timeout = process.config.name, settings.supervise.stuck_timeout
        idle = judge(self._idle.get(name), observation, queues, elapsed)
        self._warn(process, blocked(observation, queues, settings.supervise.blocked_timeout))
        if idle is None:
            return
        self._idle[name] = idle
        if is_stuck(idle, timeout):
            self._idle[name] = replace(idle, seconds=0.0, restarts=idle.restarts + 1)
            logger().error(
                Event.WORKER_STUCK,
                program=name,
                child_pid=process.pid,
                idle_s=round(idle.seconds, 1),
                waiting=waiting(observation, queues),
                details=observation.details,
                restarts_without_effect=idle.restarts,
            )
            process.restart()

    def _warn(self, process: DaemonProcess, found: Blocked | None) -> None:
        """Log a blocked pool once, and show it in `warren health` for as long as it is blocked."""
        process.warning = found.warning if found else ""
        known = self._blocked.get(process.config.name)
        if found is None or (known and (known.pid, known.since) == (found.pid, found.since)):
            return
        self._blocked[process.config.name] = found
        logger().warning(
            Event.WORKER_BLOCKED,
            program=process.config.name,
            child_pid=process.pid,
            busy_s=round(found.seconds, 1),
            waiting=found.waiting,
            tasks=found.tasks,
            remedy="give the worker a time_limit, then warren reload: the tasks run again, and end "
            "at the limit",
        )


def consumed_queues(run_dir: Path) -> dict[str, int]:
    """Return the number of messages in each queue that the quota-watchdog last saw.

    Return nothing when that report is old, because it says nothing about the present.
    """
    report = broker_file.read(run_dir).known
    return {
        name: queue.messages
        for name, queue in (report.queues if report else {}).items()
        if queue.messages is not None
    }
