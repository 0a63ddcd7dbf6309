"""The step by which the main loop of Celery's consumer calls Warren's part of the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import bootsteps

#: Seconds between two calls.
STEP = 0.2


def step_of(
    begin: Callable[[Any], None], step: Callable[[Any], None]
) -> type[bootsteps.StartStopStep]:
    """Return a step that calls `begin` at each connection, and `step` a few times a second.

    Both are called with Celery's consumer.
    """

    class Step(bootsteps.StartStopStep):
        requires = ("celery.worker.consumer.tasks:Tasks",)
        entry: Any = None  # The connection may be lost before this step has started.

        def start(self, consumer: Any) -> None:
            begin(consumer)
            self.entry = consumer.timer.call_repeatedly(STEP, step, (consumer,))

        def stop(self, consumer: Any) -> None:
            # Celery starts the step again at each reconnection. A second timer would act for the
            # old connection.
            if self.entry is not None:
                self.entry.cancel()

    return Step
