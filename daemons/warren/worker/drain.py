"""How a worker ends.

The worker takes no more messages. Running tasks finish within the stop timeout, and all other tasks
go back to the broker. The main loop keeps running meanwhile, so that results, acknowledgements and
the heartbeat continue.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery.worker import state

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.worker.callbacks import Callbacks
from warren.worker.gate import Gate
from warren.worker.requeue import Requeuer
from warren.worker.task_fields import about

#: Seconds that a cancelled task has to clean up before its process is killed. The supervisor kills
#: the worker after 10 s.
GRACE = 2.0
#: Seconds that an idle pool child has before it is killed.
LAST_WORDS = 5.0


class Drain:
    """One stop of one worker; `begin` may be called again to bring the deadline forward."""

    def __init__(
        self,
        gate: Gate,
        requeuer: Requeuer,
        callbacks: Callbacks,
        end_pool: Callable[[float], None],
    ) -> None:
        self.gate = gate
        self.requeuer = requeuer
        #: The callbacks of task ends that the worker has reported: they count as running work.
        self._callbacks = callbacks
        #: Kills the pool children that still live after so many seconds.
        self._end_pool = end_pool
        self.deadline: float | None = None
        #: The tasks that did not finish in time: id and name.
        self.requeued: list[tuple[str, str]] = []

    @property
    def begun(self) -> bool:
        """Return whether the worker is ending."""
        return self.deadline is not None

    def begin(self, timeout: float, reason: str) -> None:
        """Stop taking messages.

        timeout: seconds that running tasks have; 0 requeues them at once.
        """
        deadline = time.monotonic() + timeout
        if self.deadline is None or deadline < self.deadline:
            self.deadline = deadline
            logger().info(
                Event.STOPPING,
                reason=reason,
                running=len(state.reserved_requests),
                timeout_s=timeout,
            )

    def step(self, consumer: Any) -> None:
        """Do one step of the stop; called by the worker's main loop."""
        if self.deadline is None:
            return
        if not self.gate.closed:
            self.gate.closed = True  # a paused queue is not resumed any more
            if consumer.task_consumer is not None:
                consumer.task_consumer.cancel()
        # The worker waits a little, also beyond the deadline, for the confirmation of a copy that
        # is with the broker. If the connection closed before, the broker would deliver both the
        # copy and the message. A message whose copy was not sent yet is delivered once.
        if not state.reserved_requests and not self._callbacks.running:
            if self.requeuer.end():
                self._stop()
        elif time.monotonic() >= self.deadline and self.requeuer.end():
            self._requeue(consumer)

    def step_without_broker(self, consumer: Any) -> None:
        """Do one step while there is no broker.

        No loop reads results then, so a running task gets its full time, even if it ends sooner.
        """
        if self.deadline is None:
            return
        if not state.active_requests and not self._callbacks.running:
            self._stop()
        elif time.monotonic() >= self.deadline:
            self._requeue(consumer)

    def _stop(self) -> None:
        if state.should_stop is None:
            # A module may run code at the end of its process, and a child may hang in such code.
            self._end_pool(LAST_WORDS)
            state.should_stop = 0  # This is Celery's warm shutdown: nothing is left to wait for.

    def _requeue(self, consumer: Any) -> None:
        # The pool asks its children by SIGTERM, which a task may have switched off, and waits for
        # them without an end.
        self._end_pool(GRACE)
        # Cancelled tasks were not acknowledged, so the close of the connection requeues their
        # messages. Their slots stay open until the watchdog finds these processes dead; then the
        # slots cool.
        for request in state.active_requests:
            if request.acknowledged:
                # The task was acknowledged before it ran, so it does not come back. Its request
                # reports that it has failed.
                continue
            self.requeued.append((request.id, request.name))
            reason = "the worker ended, and the task had not finished within stop_timeout"
            logger().warning(Event.TASK_REQUEUED, **about(request), reason=reason)
        consumer.cancel_active_requests()
        self._callbacks.cut_off()
        state.should_terminate = 0
