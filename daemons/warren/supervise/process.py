"""A daemon as a child of supervisord: when it is started again, and when not."""

from __future__ import annotations

import time
from typing import Any

from supervisor.options import ProcessConfig, decode_wait_status
from supervisor.process import Subprocess
from supervisor.states import ProcessStates

#: The longest wait, in seconds, before a daemon that keeps crashing is started again.
LONGEST_WAIT = 60


class DaemonProcess(Subprocess):
    """Differs from any other child of supervisord in what follows an end within startsecs.

    Supervisor would try so often and then give up, whatever the exit code. A wrong configuration need not be tried
    again at all, and a broker or disk that comes back after an hour must find its daemons waiting.
    """

    def finish(self, pid: int, sts: int) -> None:
        super().finish(pid, sts)
        status, _ = decode_wait_status(sts)
        if self.state == ProcessStates.BACKOFF and status in self.config.exitcodes:
            self.exitstatus = status
            self.spawnerr = f"exit status {status} is final"
            self.give_up()
            name = self.config.name
            self.config.options.logger.error(f"gave up: {name} entered FATAL state, exit status {status} is final")

    def change_state(self, new_state: int, expected: bool = True) -> Any:
        changed = super().change_state(new_state, expected)
        if new_state == ProcessStates.BACKOFF:
            self.delay = time.time() + min(self.backoff, LONGEST_WAIT)
        return changed


class DaemonConfig(ProcessConfig):
    """The configuration of a program that Warren rendered, as apart from an operator's own."""

    def make_process(self, group: Any = None) -> DaemonProcess:
        process = DaemonProcess(self)
        process.group = group
        return process
