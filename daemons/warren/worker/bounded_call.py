"""A call of others' code within a time limit, in the worker's own loop.

The worker does nothing else meanwhile.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

#: Seconds between two alarms. Code that catches every exception gets more than one alarm.
_AGAIN = 1.0


class TookTooLong(BaseException):
    """A call took too long. Not an `Exception`, which an `except` around a retry would catch."""


def call_within(seconds: float, call: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Return what `call(**given)` returns. Raises TookTooLong after so many seconds.

    The limit ends a call that sleeps, that waits for a socket or a lock, or that runs in Python. A
    call that never returns to Python is left to supervise. There is no limit in another thread than
    the main thread, and none for a call within such a call.
    """
    before = signal.getsignal(signal.SIGALRM)
    if threading.current_thread() is not threading.main_thread() or before is _alarm:
        return call(**given)
    signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        return _bounded(call, given)
    finally:
        # This is safe at each instruction: an alarm that comes after this line finds no bounded
        # call, and does nothing.
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)


def _bounded(call: Callable[..., Any], given: dict[str, Any]) -> Any:
    return call(**given)


def _alarm(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code is _bounded.__code__:
            raise TookTooLong
        frame = frame.f_back
