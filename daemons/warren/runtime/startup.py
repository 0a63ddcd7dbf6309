"""Heartbeats of a daemon that starts.

Imports and many forks may take longer than start_timeout.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from warren.status.heartbeat import HeartbeatWriter

#: Seconds between two heartbeats.
_PAUSE = 1.0


class Progress:
    """Writes heartbeats while this process imports modules or forks children, at most one a second.

    Each module that the process looks for, and each child that it forks, is progress. A module that
    hangs and a fork that hangs are no progress. The object is one of Python's module finders, and
    finds nothing.
    """

    def __init__(self, heartbeat: HeartbeatWriter) -> None:
        self._heartbeat = heartbeat
        self._owner = (os.getpid(), threading.get_ident())
        self._last_heartbeat = time.monotonic()
        self._children = 0
        self._over = False

    def begin(self) -> None:
        """Begin to write heartbeats."""
        sys.meta_path.insert(0, self)
        os.register_at_fork(after_in_parent=self._forked)

    def end(self) -> None:
        """End the heartbeats of the start: from now on the daemon's own loop writes heartbeats."""
        self._over = True
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Write a heartbeat. Python calls this for each module that is imported."""
        self._write_heartbeat(importing=name.partition(".")[0])

    def _forked(self) -> None:
        self._children += 1
        self._write_heartbeat(children=self._children)

    def _write_heartbeat(self, **details: Any) -> None:
        due = time.monotonic() - self._last_heartbeat >= _PAUSE
        # A child does not own the heartbeat, and a thread that a module has started is not this
        # start: neither writes.
        if due and not self._over and self._owner == (os.getpid(), threading.get_ident()):
            self._last_heartbeat = time.monotonic()
            self._heartbeat.write("starting", **details)
