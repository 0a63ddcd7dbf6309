"""One log line when a task begins, and one for its end: succeeded, failed, or to be retried."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from celery import Task, signals, states
from celery.app.trace import task_has_custom

from warren.app.factory import SENT_AT
from warren.config import Settings
from warren.logs.events import Event
from warren.logs.formatter import safe_text
from warren.logs.setup import bind, keep, logger, losing, unbind
from warren.worker.callbacks import OWNER
from warren.worker.task_fields import about, queue_by_key

#: The text by which a process tells its worker that it has logged the end of its task. It is among
#: the arguments of the exception that the process sends.
TOLD = ("its process has told this",)
#: The fields of every line about a task.
FIELDS = ("task_id", "root_id", "task", "queue", "attempt")


@dataclass(frozen=True)
class _Running:
    """A task that this process is running.

    The object has the task's fields in the log, the time when the task began (monotonic seconds),
    and how long the task had waited (seconds).
    """

    fields: dict[str, Any]
    began: float
    waited_s: float | None


class TaskLog:
    """Writes the lines. The pool children inherit the signal connections made before the fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._queue = queue_by_key(settings)
        self._running: list[_Running] = []
        self._told = ""

    def told(self, task_id: str) -> bool:
        """Return whether this process has logged the end of the task.

        Only the last task that the process began is known. Returns False when the line could not be
        written, as under a limit that the task has lowered for good: then the worker can write the
        line.
        """
        return self._told == task_id and not losing()

    def connect(self, tasks: Mapping[str, Task]) -> None:
        """Listen to the ends of these tasks, in this process and in the pool children that it
        forks.

        task_hooks.py calls `began` and `ended`.
        """
        for task in tasks.values():
            if task_has_custom(task, "on_success"):
                task.on_success = self._behind_success(task, task.on_success)
        signals.task_success.connect(self.succeeded, weak=False)
        signals.task_failure.connect(self.failed, weak=False)
        signals.task_internal_error.connect(self.broken, weak=False)
        signals.task_retry.connect(self.retried, weak=False)
        signals.task_revoked.connect(self.revoked, weak=False)

    def began(self, task: Any = None, **_: Any) -> None:
        """Write the line of the task's begin, and add the task's fields to the task's own log
        lines.
        """
        keep()  # The task before this one may have switched `logging` off.
        request = task.request
        self._told = ""
        fields = {
            "task_id": request.id,
            "root_id": request.root_id,
            "task": task.name,
            "queue": self._queue(_routing_key(request), task.name),
            "attempt": (request.retries or 0) + 1,
        }
        waited_s = _waited(request)
        self._running.append(_Running(fields, time.monotonic(), waited_s))
        bind(**fields)
        parent = {"parent_id": request.parent_id} if request.parent_id else {}
        logger().info(Event.TASK_STARTED, waited_s=waited_s, **parent)

    def ended(
        self, sender: Any = None, state: str | None = None, retval: Any = None, **_: Any
    ) -> None:
        """Unbind the fields of the task that ended.

        A later line belongs to no task, or to the task that has run this task itself, with `apply`.
        """
        if state == states.IGNORED and self._running:
            logger().info(
                Event.TASK_IGNORED, reason=safe_text(retval), **self._fields(sender.request)
            )
        unbind(*FIELDS)
        if self._running:
            self._running.pop()
        if self._running:
            bind(**self._running[-1].fields)

    def succeeded(self, sender: Any = None, **_: Any) -> None:
        """Log that the task returned."""
        if self._told != sender.request.id:
            self._told = sender.request.id
            logger().info(Event.TASK_SUCCEEDED, **self._fields(sender.request))

    def _behind_success(self, task: Task, own: Callable[..., Any]) -> Callable[..., Any]:
        # The result is stored by then. The task's class may end the process after that, and the
        # line would be lost with it.
        @wraps(own)
        def on_success(*given: Any, **named: Any) -> Any:
            self.succeeded(task)
            return own(*given, **named)

        return on_success

    def retried(self, request: Any = None, reason: Any = None, **_: Any) -> None:
        """Log that the task raised and runs again, or that the worker sends it again.

        The worker sends a task again because of `retry_on_worker_lost`.
        """
        if not self._running:
            logger().warning(
                Event.TASK_RETRIED,
                reason="its process was lost, or the worker ends",
                **_about(request),
            )
            return
        wait = getattr(reason, "when", None)
        again = (
            {"again_in_s": wait}
            if isinstance(wait, int | float)
            else {"again_at": wait}
            if wait is not None
            else {}
        )
        logger().warning(
            Event.TASK_RETRIED,
            reason=_without_arguments(safe_text(reason)),
            **again,
            **self._fields(request),
        )

    def failed(
        self,
        sender: Any = None,
        task_id: str = "",
        exception: Any = None,
        einfo: Any = None,
        **_: Any,
    ) -> None:
        """Log that the task raised, or that its process was lost, or that it took too long.

        In the last two cases the worker itself logs. There is only one line for each end. When a
        result cannot be stored, the process reports that error, and the failure that follows from
        it, and the worker reports the end once more.
        """
        if getattr(exception, "exc_args", None) == TOLD:
            return
        request = sender.request
        if self._running and self._running[-1].fields["task_id"] == task_id:
            if self._told == task_id:
                return
            self._told = task_id
            fields = self._fields(request)
        elif _first(request) and self._told != task_id:
            # In the child, after the end of the task: two signals report a failure there.
            if vars(request).get(OWNER) is None:
                self._told = task_id
            fields = {"task_id": task_id, "task": sender.name, **_about(request)}
        else:
            return
        trace = _without_arguments(str(getattr(einfo, "traceback", ""))) or None
        logger().error(
            Event.TASK_FAILED,
            reason=_without_arguments(safe_text(exception)),
            exception=trace,
            **fields,
        )

    def broken(
        self,
        sender: Any = None,
        task_id: str = "",
        exception: Any = None,
        einfo: Any = None,
        **_: Any,
    ) -> None:
        """Log that a step around the task failed, such as the storing of its result.

        Then the task has failed, whatever it has returned.
        """
        self.failed(sender, task_id, exception, einfo)

    def revoked(
        self,
        sender: Any = None,
        request: Any = None,
        terminated: bool = False,
        expired: bool = False,
        **_: Any,
    ) -> None:
        """Log that the task will not run, or was ended while it ran.

        The worker itself writes this line.
        """
        if not _first(request):
            return
        reason = "terminated" if terminated else "expired" if expired else "revoked"
        fields = {"task_id": request.id, "task": sender.name, **_about(request)}
        logger().warning(Event.TASK_REVOKED, reason=reason, **fields)

    def _fields(self, request: Any) -> dict[str, Any]:
        running = self._running[-1]
        times = {"waited_s": running.waited_s, "ran_s": round(time.monotonic() - running.began, 6)}
        return (
            {**times, "args": request.args, "kwargs": request.kwargs}
            if self.settings.log.arguments
            else times
        )


def _first(request: Any) -> bool:
    """Return whether the worker has not logged the end of this request yet, and note that it has
    now.
    """
    owner = vars(request).get(OWNER)
    if owner is None:
        return True
    was, owner.told = owner.told, True
    return not was


def _about(request: Any) -> dict[str, Any]:
    """Return the fields of a task from the context of its request.

    For lines that the worker itself writes.
    """
    owner = vars(request).get(OWNER)
    return about(owner) if owner is not None else {"root_id": getattr(request, "root_id", None)}


def _routing_key(request: Any) -> str:
    """Return the key that the message came with.

    A call may have named another queue than the task's own.
    """
    return str((request.delivery_info or {}).get("routing_key"))


def _without_arguments(text: str) -> str:
    """Return the text without the arguments of the task, which must not be in the log.

    Celery's MaxRetriesExceededError has the arguments in its text.
    """
    return re.sub(r"(Can't retry \S+) args:.*", r"\1", text)


def _waited(request: Any) -> float | None:
    """Return the seconds between sending and starting; None when the publisher did not say when it
    sent.

    The clocks of hosts differ, so the result is never below 0.
    """
    sent = request.get(SENT_AT)
    return round(max(0.0, time.time() - sent), 6) if isinstance(sent, (int, float)) else None
