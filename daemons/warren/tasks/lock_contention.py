"""What happens to a call whose lock another holder has: an error, a later run, or no run."""

from __future__ import annotations

import os
import socket
from typing import Any, Literal, get_args

from celery._state import _task_stack

from warren.errors import WarrenError
from warren.tasks import lock_line
from warren.tasks.lock_line import Holder

OnBusy = Literal["raise", "retry", "skip"]
#: Seconds that a second delivery waits beyond the lease of its first run.
_MARGIN = 0.5


class Busy(WarrenError):
    """Another holder works under the key. `holder` says who, as far as the store knows."""

    def __init__(self, message: str, holder: dict[str, Any] | None = None) -> None:
        # Both are JSON, because Celery makes the error of a failed task again from its arguments.
        super().__init__(message, holder)
        self.holder: dict[str, Any] = holder or {}

    def __str__(self) -> str:
        return str(self.args[0])


def checked(on_busy: str) -> OnBusy:
    """Return the behaviour. Raises ValueError for a word that is none."""
    for known in get_args(OnBusy):
        if on_busy == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(f"expected on_busy to be raise, retry or skip, found {on_busy!r}")


def decide(on_busy: OnBusy, *, in_task: bool, same_task: bool, own_lock: bool) -> OnBusy:
    """Return what a refused call does. Pure.

    in_task: whether a worker runs the call in a task. same_task: whether the holder is an earlier
    delivery of that task. own_lock: whether the caller itself holds the lock.
    """
    if own_lock:
        return "raise"  # it would wait for itself
    # A worker that was killed leaves its lock for some seconds, and its task is delivered again at
    # once. To skip or fail that delivery would lose the task.
    if in_task and same_task:
        return "retry"
    if on_busy == "retry" and not in_task:
        return "raise"
    return on_busy


def refused(on_busy: OnBusy, busy: Busy, *, own_lock: bool, left: float, retry_in: float) -> Any:
    """Raise `busy`, or send the task again, or return the result of a skipped run.

    left: seconds after which a dead holder's lock is free.
    """
    task = running_task()
    same = task is not None and busy.holder.get("task_id") == task.request.id
    chosen = decide(on_busy, in_task=task is not None, same_task=same, own_lock=own_lock)
    if chosen == "retry":
        retry(task, busy, left + _MARGIN if same else retry_in)
    if chosen == "skip":
        return {"skipped": str(busy), "holder": busy.holder}
    raise busy


def retry(task: Any, reason: Exception, after: float) -> None:
    """Send the running task again. The task's own count of retries and its limit stay untouched.

    Raises celery.exceptions.Retry, which ends this run.
    """
    request = task.request
    request.retries -= 1  # Celery adds one
    try:
        task.retry(exc=reason, countdown=after)
    finally:
        request.retries += 1


def running_task() -> Any:
    """Return the task that a worker runs in this thread; None outside a worker's task.

    A task that is called as a function, or by `apply`, is part of the task that calls it.
    """
    for task in reversed(_task_stack.stack or []):
        if task.request.id is not None and not task.request.is_eager:
            return task
    return None


def own_note() -> str:
    """Return the note about this process, for a lock that it takes."""
    task = running_task()
    if task is None:
        return lock_line.note_of(None, None, socket.gethostname(), os.getpid())
    host = str(task.request.hostname or socket.gethostname()).rpartition("@")[2]
    return lock_line.note_of(task.request.id, task.name, host, os.getpid())


def busy_with(key: str, holder: Holder) -> Busy:
    """Return the error for a key that this holder has."""
    return Busy(f"{key}: another holder works: {holder}; try again later", holder.as_json())
