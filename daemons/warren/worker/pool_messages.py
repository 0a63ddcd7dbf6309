"""The messages that a pool child may send to its worker, and how to recognise them. Pure."""

from __future__ import annotations

import fcntl
import sys
from numbers import Real
from termios import FIONREAD
from typing import Any

from billiard.einfo import ExceptionInfo
from billiard.pool import ACK, DEATH, READY
from celery.concurrency.asynpool import WORKER_UP

#: The largest message in bytes. The message of a task's end holds only its type, its time and the
#: beginning of an error.
LARGEST = 64 * 2**20


def problem(message: Any, pid: int, inqueue: int) -> str:
    """Return why this is not a message of the child `pid`; empty when it is such a message.

    inqueue: the pipe by which the worker writes to the child.
    """
    if not (
        isinstance(message, tuple)
        and len(message) == 2
        and isinstance(message[0], int)
        and isinstance(message[1], tuple)
    ):
        return "expected a message of the pool"
    state, fields = message
    if state in (WORKER_UP, DEATH):
        return "" if fields and fields[0] == pid else "expected a message about the process itself"
    if state == ACK:
        return "" if _is_acceptance(fields, pid) else "expected the acceptance of a task"
    if state == READY:
        return "" if _is_end(fields, inqueue) else "expected the end of a task"
    return "expected a message of the pool"


def _is_acceptance(fields: tuple[Any, ...], pid: int) -> bool:
    if len(fields) != 5:
        return False
    job, part, accepted, sender, _ = fields
    return (
        isinstance(job, int)
        and isinstance(part, int | None)
        and isinstance(accepted, Real)
        and sender == pid
    )


def _is_end(fields: tuple[Any, ...], inqueue: int) -> bool:
    if len(fields) != 4:
        return False
    job, part, outcome, sender = fields
    if not (isinstance(job, int) and isinstance(part, int | None) and sender == inqueue):
        return False
    if not isinstance(outcome, tuple) or len(outcome) != 2:
        return False
    good, value = outcome
    if not good:
        return isinstance(value, ExceptionInfo)
    if value is None:  # The callbacks after a task's end return this (callbacks.py).
        return True
    # Celery's tracer returns this.
    if not isinstance(value, tuple) or len(value) != 3 or not isinstance(value[2], Real | None):
        return False
    return not value[0] or isinstance(value[1], ExceptionInfo)


def unread(pipe: int) -> int:
    """Return how many unread bytes a pipe holds."""
    return int.from_bytes(fcntl.ioctl(pipe, FIONREAD, bytes(4)), sys.byteorder)
