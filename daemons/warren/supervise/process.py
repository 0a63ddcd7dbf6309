"""A daemon as a child of supervisord: when it is started again, how soon, and when not."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import Any

from supervisor.options import ProcessConfig, decode_wait_status
from supervisor.process import Subprocess
from supervisor.states import ProcessStates, SupervisorStates, getProcessStateDescription

from warren.config.accepted import ACCEPTED
from warren.errors import MEANINGS, UNASKED, ExitCode
from warren.events import Event
from warren.heartbeat import Beat
from warren.log import get
from warren.printable import one_line
from warren.process import telling
from warren.regular_file import clear_place
from warren.run_file import now

#: After so many failures in a row a daemon is held, and tried again at this pace (seconds).
TRIES = 5
HELD_PAUSE = 60
#: A daemon that has done its work for so many seconds has started well; one that ends sooner has failed.
PROOF = 10.0
#: What is said of an end with 0 that is none of the supervisor's.
_UNASKED = "exit status 0: ended, though nobody asked its supervisor (a signal by hand)"
#: Seconds that a hung daemon has to write its stacks, before its whole group is killed.
LAST_WORDS = 2.0


class DaemonProcess(Subprocess):
    """Differs from any other child of supervisord in what follows an end.

    Supervisor would try so often and then give up, whatever the exit code, and would start one that ends after startsecs again
    and again without a pause. A wrong configuration need not be tried again at all, and a broker or disk that comes back after
    an hour must find its daemons waiting.
    """

    def __init__(self, config: ProcessConfig) -> None:
        super().__init__(config)
        self.since = now()  # CLOCK_BOOTTIME at which its state began
        self.starts = 0
        self.failures = 0
        self.held = False
        self.ending = ""  # how its last process ended
        self._in_order = False  # and whether it was to end so
        self._ended = 0  # the number of its last process
        self._proven = False
        self._at_work: float | None = None
        self._again = False
        self._doomed: float | None = None
        self._doom = ""  # and why
        self.slow_starts = 0  # in a row that showed no progress within start_timeout
        self.warning = ""  # what is wrong though it does its work

    # -- what the suite does to it ---------------------------------------------------------------------------------

    @property
    def trouble(self) -> str:
        """How it ended last, or why it could not start; empty while it runs well, and after an end that was asked for."""
        if (self.pid and self._proven) or self.state == ProcessStates.STOPPED:
            return ""
        if self._in_order and self.state != ProcessStates.BACKOFF:
            return ""
        return str(self.spawnerr or self.ending) if not self.pid else self.ending

    def hear(self, beat: Beat) -> None:
        """Its latest heart: one that its last process left says more of its end than the exit code does."""
        if not self.pid and beat.process.pid == self._ended and "refused" in beat.evidence:
            self.ending = f"exit status {self.exitstatus}: {one_line(beat.evidence['refused'])}"

    @property
    def age(self) -> float:
        """Seconds in its state."""
        return now() - self.since

    def restart(self) -> None:
        """Stops it in order, as a stop by an operator would, and starts it again then."""
        if self.state == ProcessStates.RUNNING:
            self._again = True
            self.kill(self.config.stopsignal)

    def abort(self, why: str, starting: bool) -> None:
        """Ends one that hangs: faulthandler writes its stacks to the capture file, then SIGKILL follows to its group."""
        self._doom = why
        self.slow_starts += starting
        self._doomed = time.monotonic() + LAST_WORDS
        for number in (signal.SIGABRT, signal.SIGCONT):  # a stopped process meets the first when the second wakes it
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    @property
    def doomed(self) -> bool:
        """Whether its process was told to end because it hangs."""
        return self._doomed is not None

    def seen_at_work(self, working: bool) -> None:
        """Told in each turn of the loop; a daemon that keeps at its work has started well, and what it failed before is past."""
        if not working:
            self._at_work = None
            return
        if self._at_work is None:
            self._at_work = time.monotonic()
        if not self._proven and time.monotonic() - self._at_work >= PROOF:
            self._proven = True
            self.failures = self.slow_starts = 0
            self._release()

    # -- what supervisord does to it -------------------------------------------------------------------------------

    def spawn(self) -> Any:
        self._again = False
        self._doomed = None
        self.warning = ""
        self._proven = False
        self._at_work = None
        self.starts += 1
        with suppress(OSError):  # a fifo in the place of the capture file would hold up supervisord's loop
            clear_place(self.config.stdout_logfile)
        pid = self._spawn(unasked=self.ending == _UNASKED)
        self._hold()  # there may have been nothing to execute, or no room for a process
        return pid

    def _spawn(self, unasked: bool) -> Any:
        """Start it, with the place of its settings and our own word, and tell it when its last process ended in order
        although nobody had asked for that (worker/deaths.py).
        """
        before = self.config.environment
        told = {ACCEPTED: str(self.config.options.accepted), **telling()}
        if unasked:
            told[UNASKED] = "1"
        self.config.environment = {**(before or {}), **told}
        try:
            return super().spawn()
        finally:
            self.config.environment = before  # a reload compares it

    def stop(self) -> Any:
        self._again = False  # an operator, or the end of the suite, wants it gone
        self.failures = 0
        self.held = False
        return super().stop()

    def transition(self) -> None:
        super().transition()
        if self._doomed is not None and self.pid and time.monotonic() > self._doomed:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        running = self.config.options.mood == SupervisorStates.RUNNING
        if self._again and self.state == ProcessStates.STOPPED and running and not self.administrative_stop:
            self.spawn()

    def finish(self, pid: int, sts: int) -> None:
        status, words = decode_wait_status(sts)
        self.ending = f"{words}: {MEANINGS[status]}" if status in MEANINGS else str(words)
        if status == ExitCode.OK and not self.killing:
            self.ending = _UNASKED
        elif self._doomed is not None:
            self.ending = self._doom
        final = status in self.config.exitcodes
        proven = self._proven
        self._ended = pid
        self._doomed = None
        self._finish(pid, sts)
        # Whether it ended before or after startsecs, which is a matter of the machine's load, makes no difference.
        if final and self.state in (ProcessStates.BACKOFF, ProcessStates.EXITED):
            self.exitstatus = status
            self.spawnerr = f"exit status {status} is final"
            if self.state == ProcessStates.EXITED:
                super().change_state(ProcessStates.BACKOFF)  # which `give_up` asks for
            self.give_up()
            self.held = False
            name = self.config.name
            self.config.options.logger.error(f"gave up: {name} entered FATAL state, exit status {status} is final")
        elif self.state == ProcessStates.EXITED and not (final or proven or status == ExitCode.RESTART):
            self.change_state(ProcessStates.BACKOFF)
        if self.state == ProcessStates.BACKOFF:
            self.spawnerr = ""  # it says less than `ending`
        self._in_order = status == ExitCode.RESTART or (status == ExitCode.OK and self.state == ProcessStates.STOPPED)
        self._hold()

    def _finish(self, pid: int, sts: int) -> None:
        """Supervisor's part, which asserts states that a step of the clock, or a signal by its socket, may have changed."""
        try:
            super().finish(pid, sts)
        except Exception:  # noqa: BLE001 - its process has ended, whatever was expected of it: it must not count as running
            get().exception(Event.SUPERVISION_FAILED, step=f"end of {self.config.name}")
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
            # supervisord keeps the two in step when the wall clock is set back.
            self.backoff = self.failures if self.failures < TRIES else HELD_PAUSE
            self.delay = time.time() + self.backoff
        return changed

    def _hold(self) -> None:
        if self.state == ProcessStates.BACKOFF and self.failures >= TRIES and not self.held:
            self.held = True
            name = self.config.name
            get().error(Event.PROGRAM_HELD, program=name, failures=self.failures, trouble=self.trouble, retry_every_s=HELD_PAUSE)

    def _release(self) -> None:
        if self.held:
            self.held = False
            get().info(Event.PROGRAM_RELEASED, program=self.config.name)


class DaemonConfig(ProcessConfig):
    """The configuration of a program that Warren rendered, as apart from an operator's own."""

    def make_process(self, group: Any = None) -> DaemonProcess:
        process = DaemonProcess(self)
        process.group = group
        return process


def state_of(process: Any) -> str:
    """supervisord's word for the state of a process."""
    return str(getProcessStateDescription(process.state))
