"""A signal ends supervisord's wait at once; otherwise the wait lasts up to a second."""

from __future__ import annotations

import os
import signal

from supervisor.medusa import asyncore_25 as asyncore


class Waker:
    """A pipe that supervisord polls, and to which Python writes whenever a signal arrives.

    So supervisord notices at once that a child ended, and each step of a graceful stop follows the
    step before without a pause.
    """

    def __init__(self) -> None:
        self._read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.write(write, b"\0")  # the first tick, which starts the programs, need not wait either
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        asyncore.socket_map[self._read] = self

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        """Empty the pipe; the signal handlers have noted which signals came."""
        os.read(self._read, 4096)
