"""Processes that a task forks, as `multiprocessing` does.

SIGTERM ends them, as it ends any other program.
"""

from __future__ import annotations

import os
import signal
import threading

from billiard.common import _shutdown_cleanup

_own = threading.local()


def begin_child() -> None:
    """Begin a pool child: processes that it forks do not inherit the pool's SIGTERM handler.

    Billiard's handler is written in Python. A fork drops a signal that such a handler has not seen
    yet, and the handler does not see a signal that comes just before the process waits for a lock.
    A process pool that ends soon after its start would wait for such a process without end.
    """
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_begin_fork)


def _hold() -> None:
    """Let a SIGTERM wait until the new process can end because of it."""
    _own.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _own.mask)


def _begin_fork() -> None:
    # A handler that the task has set stays.
    if signal.getsignal(signal.SIGTERM) is _shutdown_cleanup:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _release()
