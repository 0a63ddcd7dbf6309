"""What Warren does as a task begins and ends in a pool child, in its order.

Celery's signals call Warren by this file alone. Task modules connect their own receivers first.
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

    # Each step runs whatever the one before it raises, such as a soft time limit; Celery logs the
    # error of a receiver.

    def begin(self, task: Any = None, **given: Any) -> None:
        """Begin with a task.

        The log first: all lines that follow have the task's fields, also why it got no slots. Then
        the slots: without them the process ends here, and the task has not begun. The note of what
        runs last: it counts against a task that the process is lost while it runs.
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

        The log first: what follows is no line of the task. Then the slots, which cool from here.
        The note of what runs last: a process that is lost in one of these steps was lost while the
        task ran.
        """
        try:
            self._log.ended(task_id=task_id, **given)
        finally:
            try:
                self._slots.after(task_id=task_id, **given)
            finally:
                self._crash_counts.task_ended(task_id=task_id, **given)
