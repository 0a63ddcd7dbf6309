"""Lets a signal end supervisord's wait, which would otherwise go on for up to a second."""

from __future__ import annotations

import os
import signal

from supervisor.medusa import asyncore_25 as asyncore


class Waker:
    """A pipe among the things that supervisord polls; Python writes to it whenever a signal arrives.

    So a child that ended is noticed at once, and each step of an ordered stop follows the one before it.
    """

    def __init__(self) -> None:
        self._read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.write(write, b"\0")  # the first turn, which starts the programs, need not wait either
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        asyncore.socket_map[self._read] = self

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        """Empties the pipe; the handlers themselves have noted which signals came."""
        os.read(self._read, 4096)
