"""When the worker acknowledges a task's message.

It does so at the end of the task, or after the callbacks of that end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from celery.worker.request import Request as CeleryRequest
from kombu.utils.objects import cached_property

from warren.worker.callbacks import OWNER
from warren.worker.crash_counts import CrashCounts
from warren.worker.duplicate_ticks import DuplicateTicks
from warren.worker.message_copy import TICKETS


class AcknowledgedRequest(CeleryRequest):
    """Celery's request of a task. Its acknowledgement may be held back."""

    crash_counts: ClassVar[CrashCounts]
    duplicate_ticks: ClassVar[DuplicateTicks]
    #: Whether the acknowledgement waits for the callbacks of the task's end (callbacks.py).
    _acknowledgement_waits = False
    #: Whether the worker has reported the end of the task.
    told = False

    @cached_property
    def _context(self) -> Any:
        """Return the context, which holds its request."""
        context = CeleryRequest._context.func(self)
        vars(context)[OWNER] = self
        return context

    def hold(self) -> Callable[[Any], None] | None:
        """Hold the acknowledgement back; return the function that gives it later.

        Returns None when the acknowledgement is not held back. If the worker dies before it has
        acknowledged, the broker delivers the message again. A task with slots is always
        acknowledged at once: its slots cool from that time, and a callback may wait for one of
        them.
        """
        if TICKETS in self.request_dict or not self.task.acks_late:
            return None
        self._acknowledgement_waits = True

        def done(_: Any) -> None:
            self._acknowledgement_waits = False
            self.acknowledge()

        return done

    def acknowledge(self) -> None:
        """Acknowledge the message, unless the acknowledgement is held back."""
        if not self._acknowledgement_waits:
            super().acknowledge()
            # Only now: if the worker dies before this line, the message comes again and its task
            # runs.
            self.duplicate_ticks.ended(self.request_dict)

    def _acknowledge_copied(self) -> None:
        """Acknowledge a message of which the broker has a copy. The task itself has not ended."""
        super().acknowledge()

    def _acknowledge_counted(self) -> None:
        """Acknowledge a message of which the broker has a copy that counts a crash."""
        self.crash_counts.carried(self.id)
        self._acknowledge_copied()
