"""What Warren does when a task begins and ends in a pool child, in order.

Celery's signals call Warren only through this file. Task modules connect their own receivers first.
"""

from __future__ import annotations

from typing import Any

from celery import signals

from warren.worker.child_slots import ChildSlots
from warren.worker.crash_counts import CrashCounts
from warren.worker.task_log import TaskLog


class TaskHooks:
    """The hooks of one worker's tasks. The pool children inherit the connections to the signals."""

    def __init__(self, log: TaskLog, slots: ChildSlots, crash_counts: CrashCounts) -> None:
        self._log = log
        self._slots = slots
        self._crash_counts = crash_counts

    def connect(self) -> None:
        """Listen to the tasks of this process and of the pool children that it forks."""
        signals.task_prerun.connect(self.begin, weak=False)
        signals.task_postrun.connect(self.end, weak=False)

    # Each step runs even if the step before it raises an error, such as a soft time limit. Celery
    # logs the error of a receiver.

    def begin(self, task: Any = None, **given: Any) -> None:
        """Begin a task.

        The log comes first: all later lines have the task's fields, also the line that says why the
        task got no slots. Then come the slots: without them the process ends here, and the task has
        not begun. The crash note comes last: from then on, a lost process counts against the task.
        """
        try:
            self._log.began(task=task, **given)
        finally:
            try:
                self._slots.before(task=task, **given)
            finally:
                self._crash_counts.task_began(task=task, **given)

    def end(self, task_id: str | None = None, **given: Any) -> None:
        """End a task.

        The log comes first: later lines are not the task's. Then come the slots, which cool from
        here. The crash note comes last: a process that is lost in one of these steps was lost while
        the task ran.
        """
        try:
            self._log.ended(task_id=task_id, **given)
        finally:
            try:
                self._slots.after(task_id=task_id, **given)
            finally:
                self._crash_counts.task_ended(task_id=task_id, **given)
