"""The step of Celery's consumer that gives Warren's part of the worker its turns from the main
loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import bootsteps

#: Seconds between two turns.
STEP = 0.2


def step_of(
    begin: Callable[[Any], None], step: Callable[[Any], None]
) -> type[bootsteps.StartStopStep]:
    """Return a step that calls `begin` with Celery's consumer at each connection, and `step` a few
    times a second.
    """

    class Step(bootsteps.StartStopStep):
        requires = ("celery.worker.consumer.tasks:Tasks",)
        entry: Any = None  # a connection may be lost before this step has its turn

        def start(self, consumer: Any) -> None:
            begin(consumer)
            self.entry = consumer.timer.call_repeatedly(STEP, step, (consumer,))

        def stop(self, consumer: Any) -> None:
            # Started again at each reconnection: two turns at once would beat for a connection that
            # is gone.
            if self.entry is not None:
                self.entry.cancel()

    return Step
