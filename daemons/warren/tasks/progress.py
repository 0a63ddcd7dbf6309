"""The progress of a long task, as the task reports it.

@shared_task(name="shop.export")
def export(rows):
    for row in progress(rows, note="counting"):
        ...
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from celery import current_task
from celery.exceptions import BackendError
from kombu.exceptions import KombuError

from warren.errors import WarrenError
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.redaction.masker import redact

Step = TypeVar("Step")

STATE = "PROGRESS"  # the state that Celery's documentation and Flower use
#: Seconds between two reports of one run. A person sees no more, and so a tight loop does not flood
#: the backend.
_PAUSE = 0.2
#: Seconds until the next report after a report that could not be stored.
_PAUSE_AFTER_ERROR = 10.0


def progress(steps: Iterable[Step], total: int | None = None, note: str = "") -> Iterator[Step]:
    """Yield each of `steps`, and report through the result backend how many steps are done.

    total: the number of steps; by default the length of `steps`, or unknown. note: a text for
    people. The first and the last step are always reported, the steps between at most five times a
    second. Outside a task, or in another thread than the task's, nothing is reported. A report that
    cannot be stored is logged, and does not fail the task.
    """
    if total is None and isinstance(steps, Sized):
        total = len(steps)
    return _reported(steps, total, note)


def report_progress(done: int, total: int, note: str = "") -> bool:
    """Report through the result backend that `done` of `total` steps of the running task are done.

    For work that is not a loop over its steps. The call is cheap enough for every step: like
    `progress` it reports at most five times a second. Returns whether this step was reported. Does
    nothing outside a task. Raises ValueError unless 0 <= done <= total.
    """
    if not 0 <= done <= total:
        raise ValueError(f"progress: expected 0 <= done <= total, found done {done} of {total}")
    task = running_task()
    if task is None:
        return False
    now = time.monotonic()
    # The time of the next report is kept on the request, so it ends with the run.
    if done < total and now < getattr(task.request, "next_progress", now):
        return False
    task.request.next_progress = now + _store(task, done, total, note)
    return True


def _reported(steps: Iterable[Step], total: int | None, note: str) -> Iterator[Step]:
    task = running_task()
    if task is None:
        yield from steps
        return
    done, due, clock = 0, 0.0, time.monotonic
    for step in steps:
        if clock() >= due:
            due = clock() + _store(task, done, total, note)
        yield step
        done += 1
    _store(task, done, done, note)


def running_task() -> Any:
    """Return the task that this thread runs.

    Returns None outside a task, and when a task is called as a plain function.
    """
    # Not Celery's proxy: while the task calls another task, the proxy stands for that other task.
    task: Any = current_task._get_current_object()
    return task if task is not None and task.request.id is not None else None


def _store(task: Any, done: int, total: int | None, note: str) -> float:
    """Store one report; return the seconds until the next report may be stored."""
    if total is not None:
        total = max(done, total)  # the caller's total may be an estimate
    try:
        task.update_state(state=STATE, meta={"done": done, "total": total, "note": note})
    # The errors of a broker or results' server that is away. Not every Exception: a soft time limit
    # is an Exception, too, and must end the task.
    except (
        OSError,
        KombuError,
        BackendError,
        WarrenError,
        *getattr(task.backend, "connection_errors", ()),
    ) as error:
        logger().warning(
            Event.PROGRESS_NOT_STORED, reason=redact(str(error)) or type(error).__name__
        )
        return _PAUSE_AFTER_ERROR
    return _PAUSE
