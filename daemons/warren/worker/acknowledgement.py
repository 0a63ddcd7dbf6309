"""When the message of a task is acknowledged: at its end, or when what follows the end is done."""

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
    """Celery's request of a task, whose acknowledgement may wait."""

    crash_counts: ClassVar[CrashCounts]
    duplicate_ticks: ClassVar[DuplicateTicks]
    #: Whether the acknowledgement waits for what follows the end (callbacks.py).
    _acknowledgement_waits = False
    #: Whether the worker has told the end of the task.
    told = False

    @cached_property
    def _context(self) -> Any:
        """The context, which knows its request."""
        context = CeleryRequest._context.func(self)
        vars(context)[OWNER] = self
        return context

    def hold(self) -> Callable[[Any], None] | None:
        """Hold the acknowledgement back, and return what gives it. None where it is not held back.

        Cut off before, the message comes again. A task with slots is acknowledged at once, as ever:
        its slots cool from then, and what follows the task may wait for one of them.
        """
        if TICKETS in self.request_dict or not self.task.acks_late:
            return None
        self._acknowledgement_waits = True

        def done(_: Any) -> None:
            self._acknowledgement_waits = False
            self.acknowledge()

        return done

    def acknowledge(self) -> None:
        """Acknowledge the message, unless that has to wait."""
        if not self._acknowledgement_waits:
            super().acknowledge()
            # behind it: cut off before, the message comes again and runs
            self.duplicate_ticks.ended(self.request_dict)

    def _acknowledge_copied(self) -> None:
        """Acknowledge the message, of which the broker has a copy: the task has not ended."""
        super().acknowledge()

    def _acknowledge_counted(self) -> None:
        """Acknowledge the message, of which the broker has a copy that carries a crash."""
        self.crash_counts.carried(self.id)
        self._acknowledge_copied()
