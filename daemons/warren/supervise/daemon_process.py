"""A daemon as a child of supervisord, which starts it again by the rules of restart_policy.py."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from supervisor.options import ProcessConfig, decode_wait_status
from supervisor.process import Subprocess
from supervisor.states import ProcessStates, SupervisorStates, getProcessStateDescription

from warren.config.snapshot import ACCEPTED
from warren.errors import MEANINGS, UNASKED, ExitCode
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.status.heartbeat import Heartbeat
from warren.status.status_file import now
from warren.supervise.restart_policy import (
    BACKING_OFF_PAUSE,
    PROOF,
    is_crash_loop,
    is_failure,
    pause,
)
from warren.system.printable import one_line
from warren.system.process import telling
from warren.system.regular_file import clear_path

#: The text for an exit with 0 that the supervisor did not ask for.
_UNASKED = (
    "exit status 0: ended, but nobody had asked the suite to stop the daemon (a signal by hand)"
)
#: Seconds that a hung daemon has to write its stacks, before its whole process group is killed.
LAST_WORDS = 2.0


class DaemonProcess(Subprocess):
    """A daemon. After its end other rules hold than for supervisord's other children.

    supervisord itself tries a fixed number of times and then gives up, whatever the exit code. It
    restarts a program that ends after startsecs again and again without a pause. But a daemon with
    a wrong configuration need not be started again at all. And a daemon must still be waiting when
    its broker or disk comes back after an hour.
    """

    def __init__(self, config: ProcessConfig) -> None:
        super().__init__(config)
        self.since = now()  # when its state began, in seconds of CLOCK_BOOTTIME
        self.starts = 0
        self.failures = 0
        self.backing_off = False
        self.ending = ""  # how its last process ended
        self._clean_end = False  # whether that end was asked for
        self._ended = 0  # the process number of its last process
        self._proven = False
        self._at_work: float | None = None
        self._again = False
        self._between: Callable[[], None] = lambda: None
        self._doomed: float | None = None
        self._doom = ""  # why `abort` ended the process
        self.slow_starts = 0  # how many starts in a row showed no progress within start_timeout
        self.warning = ""  # what is wrong although the daemon does its work

    # -- what the suite does to a daemon -----------------------------------------------------------

    @property
    def last_error(self) -> str:
        """Return how the daemon ended last, or why it could not start.

        Empty while it runs well, and after an end that somebody asked for.
        """
        if (self.pid and self._proven) or self.state == ProcessStates.STOPPED:
            return ""
        if self._clean_end and self.state != ProcessStates.BACKOFF:
            return ""
        return str(self.spawnerr or self.ending) if not self.pid else self.ending

    def hear(self, heartbeat: Heartbeat) -> None:
        """Take the daemon's latest heartbeat.

        The last heartbeat of a process that has ended says more about its end than the exit code.
        """
        if not self.pid and heartbeat.process.pid == self._ended and "refused" in heartbeat.details:
            self.ending = f"exit status {self.exitstatus}: {one_line(heartbeat.details['refused'])}"

    @property
    def age(self) -> float:
        """Return for how many seconds the daemon has been in its state."""
        return now() - self.since

    @property
    def gave_up(self) -> bool:
        """Return whether the daemon is not started again soon, or not at all."""
        return self.backing_off or self.state == ProcessStates.FATAL

    def start_now(self) -> None:
        """Start a daemon that has no process, without the pause that it may have before a start."""
        if self.state == ProcessStates.BACKOFF:
            self.delay = 0.0
        elif not self.pid:
            self.spawn()

    def restart(self, between: Callable[[], None] = lambda: None) -> None:
        """Stop the daemon gracefully, as an operator would, call `between`, and start it again."""
        if self.state == ProcessStates.RUNNING:
            self._again, self._between = True, between
            self.kill(self.config.stopsignal)

    def abort(self, why: str, starting: bool) -> None:
        """End a daemon that hangs.

        faulthandler writes its stacks to the capture file, then SIGKILL follows to its process
        group. `starting` says whether it hung during its start.
        """
        self._doom = why
        self.slow_starts += starting
        self._doomed = time.monotonic() + LAST_WORDS
        # A process that SIGSTOP has stopped handles SIGABRT only after SIGCONT.
        for number in (signal.SIGABRT, signal.SIGCONT):
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    @property
    def doomed(self) -> bool:
        """Return whether `abort` is ending the process, because it hangs."""
        return self._doomed is not None

    def seen_at_work(self, working: bool) -> None:
        """Note whether the daemon is at work; called in each tick of the loop.

        A daemon that stays at work has started well, and its earlier failures no longer count.
        """
        if not working:
            self._at_work = None
            return
        if self._at_work is None:
            self._at_work = time.monotonic()
        if not self._proven and time.monotonic() - self._at_work >= PROOF:
            self._proven = True
            self.failures = self.slow_starts = 0
            self._leave_crash_loop()

    # -- what supervisord does to a daemon ---------------------------------------------------------

    def spawn(self) -> Any:
        self._again = False
        self._doomed = None
        self.warning = ""
        self._proven = False
        self._at_work = None
        self.starts += 1
        with suppress(OSError):  # a fifo under this path would block supervisord's loop
            clear_path(self.config.stdout_logfile)
        pid = self._spawn(unasked=self.ending == _UNASKED)
        # The command may be missing, or the host may have no room for a process.
        self._enter_crash_loop()
        return pid

    def _spawn(self, unasked: bool) -> Any:
        """Start the process, with the path of its settings and our identity in its environment.

        `unasked`: the daemon's last process ended cleanly although nobody had asked it to. The new
        process is told so (worker/crash_counts.py).
        """
        before = self.config.environment
        added = {ACCEPTED: str(self.config.options.accepted), **telling()}
        if unasked:
            added[UNASKED] = "1"
        self.config.environment = {**(before or {}), **added}
        try:
            return super().spawn()
        finally:
            self.config.environment = before  # a reload compares the environment

    def stop(self) -> Any:
        self._again = False  # an operator, or the end of the suite, wants the daemon down
        self.failures = 0
        self.backing_off = False
        return super().stop()

    def transition(self) -> None:
        super().transition()
        if self._doomed is not None and self.pid and time.monotonic() > self._doomed:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        running = self.config.options.mood == SupervisorStates.RUNNING
        if (
            self._again
            and self.state == ProcessStates.STOPPED
            and running
            and not self.administrative_stop
        ):
            self._between()
            self.spawn()

    def finish(self, pid: int, sts: int) -> None:
        status, description = decode_wait_status(sts)
        self.ending = (
            f"{description}: {MEANINGS[status]}" if status in MEANINGS else str(description)
        )
        if status == ExitCode.OK and not self.killing:
            self.ending = _UNASKED
        elif self._doomed is not None:
            self.ending = self._doom
        final = status in self.config.exitcodes
        proven = self._proven
        self._ended = pid
        self._doomed = None
        self._finish(pid, sts)
        # Whether the process ended before or after startsecs makes no difference: that depends on
        # the load of the machine.
        if final and self.state in (ProcessStates.BACKOFF, ProcessStates.EXITED):
            self.exitstatus = status
            self.spawnerr = f"exit status {status} is final"
            if self.state == ProcessStates.EXITED:
                super().change_state(ProcessStates.BACKOFF)  # `give_up` expects this state
            self.give_up()
            self.backing_off = False
            name = self.config.name
            self.config.options.logger.error(
                f"gave up: {name} entered FATAL state, exit status {status} is final"
            )
        elif self.state == ProcessStates.EXITED and not final and is_failure(status, proven):
            self.change_state(ProcessStates.BACKOFF)
        if self.state == ProcessStates.BACKOFF:
            self.spawnerr = ""  # supervisord's text says less than `ending`
        self._clean_end = status == ExitCode.RESTART or (
            status == ExitCode.OK and self.state == ProcessStates.STOPPED
        )
        self._enter_crash_loop()

    def _finish(self, pid: int, sts: int) -> None:
        """Call supervisor's own part.

        That part asserts a state. But a step of the clock, or a signal that a client has sent over
        the socket, may have changed the state.
        """
        try:
            super().finish(pid, sts)
        # The process has ended, whatever supervisor expected: it must not count as running.
        except Exception:  # noqa: BLE001
            logger().exception(Event.SUPERVISION_FAILED, step=f"end of {self.config.name}")
            self.pid, self.killing = 0, False
            pipes: dict[str, Any] = self.pipes
            self.config.options.close_parent_pipes(pipes)
            pipes.clear()
            self.dispatchers.clear()
            self.change_state(ProcessStates.BACKOFF)

    def change_state(self, new_state: int, expected: bool = True) -> Any:
        changed = super().change_state(new_state, expected)
        self.since = now()
        if new_state == ProcessStates.BACKOFF:
            self.failures += 1
            # supervisord adjusts delay when the wall clock is set back, and needs backoff for that.
            self.backoff = pause(self.failures)
            self.delay = time.time() + self.backoff
        return changed

    def _enter_crash_loop(self) -> None:
        looping = self.state == ProcessStates.BACKOFF and is_crash_loop(self.failures)
        if looping and not self.backing_off:
            self.backing_off = True
            name = self.config.name
            logger().error(
                Event.PROGRAM_BACKING_OFF,
                program=name,
                failures=self.failures,
                last_error=self.last_error,
                retry_every_s=BACKING_OFF_PAUSE,
            )

    def _leave_crash_loop(self) -> None:
        if self.backing_off:
            self.backing_off = False
            logger().info(Event.PROGRAM_RECOVERED, program=self.config.name)


class DaemonConfig(ProcessConfig):
    """The configuration of a program that Warren rendered, unlike an operator's own program."""

    def make_process(self, group: Any = None) -> DaemonProcess:
        process = DaemonProcess(self)
        process.group = group
        return process


def state_of(process: Any) -> str:
    """Return supervisord's name for the state of a process."""
    return str(getProcessStateDescription(process.state))
