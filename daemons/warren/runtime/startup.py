"""Signs of life of a daemon that starts: imports, and hundreds of children, may take longer than start_timeout."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from warren.status.heartbeat import Heart

#: Seconds between two beats.
_PAUSE = 1.0


class Progress:
    """Beats, at most once a second, with each module that this process looks for and each child that it forks.

    A module that hangs, or a fork that does, is no progress. It is one of Python's finders, and finds nothing.
    """

    def __init__(self, heart: Heart) -> None:
        self._heart = heart
        self._owner = (os.getpid(), threading.get_ident())
        self._told = time.monotonic()
        self._children = 0
        self._over = False

    def begin(self) -> None:
        """From here on the heart beats."""
        sys.meta_path.insert(0, self)
        os.register_at_fork(after_in_parent=self._forked)

    def end(self) -> None:
        """The daemon's own loop beats now."""
        self._over = True
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Asked by Python for each module that is imported."""
        self._beat(importing=name.partition(".")[0])

    def _forked(self) -> None:
        self._children += 1
        self._beat(children=self._children)

    def _beat(self, **evidence: Any) -> None:
        due = time.monotonic() - self._told >= _PAUSE
        # Not in a child, whose heart it is not, nor in a thread that a module has started.
        if due and not self._over and self._owner == (os.getpid(), threading.get_ident()):
            self._told = time.monotonic()
            self._heart.beat("starting", **evidence)
