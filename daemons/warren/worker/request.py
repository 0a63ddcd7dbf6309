"""Celery's request of a task, where Warren ends one in another way.

`Task.Request` is Celery's hook for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGKILL
from typing import Any, ClassVar

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals
from celery.exceptions import Reject
from celery.platforms import signals as signal_numbers
from celery.worker import state
from celery.worker.request import Request as CeleryRequest
from kombu.exceptions import OperationalError
from kombu.utils.objects import cached_property

from warren.broker.redis.write_refusal import is_refused_write
from warren.broker.unroutable import NoRoute
from warren.logs.events import Event
from warren.logs.formatter import safe_text
from warren.logs.setup import logger
from warren.system.process import Process, process_of
from warren.worker.callbacks import OWNER
from warren.worker.crash_counts import CrashCounts
from warren.worker.duplicate_ticks import DuplicateTicks
from warren.worker.message_copy import CRASHES, RETURNS, TICKETS, counted, pause_before
from warren.worker.requeue import Requeuer
from warren.worker.task_fields import about
from warren.worker.task_processes import TaskProcesses

#: A task whose process, or whose worker, was lost so often (killed, crashed, out of memory) is
#: given up: it would take every one with it. Innocent ones are lost with power and by an operator's
#: kill -9, though hardly so often.
MOST_CRASHES = 5
#: Seconds that the main loop waits at most for a killed child to be gone.
DEATH = 2.0
#: How the pool says that the process which ran the task is gone. The last two a task raises itself
#: (`sys.exit`): the pool passes them on and lets the process go, which is one way of many to leave
#: it.
_LOST = (WorkerLostError, SystemExit, KeyboardInterrupt)


class Request(CeleryRequest):
    """A task between its message and its end."""

    requeuer: ClassVar[Requeuer]
    crash_counts: ClassVar[CrashCounts]
    leftovers: ClassVar[TaskProcesses]
    ticked: ClassVar[DuplicateTicks]
    #: The pool child that runs it, for a task that was admitted with slots.
    _child: Process | None = None
    #: Whether the acknowledgement waits for what follows the end (callbacks.py).
    _held = False
    #: Whether the worker has told its end.
    told = False
    #: The signal by which somebody wants it ended.
    _ended_by: int | None = None

    @cached_property
    def _context(self) -> Any:
        """The context, which knows its request."""
        context = CeleryRequest._context.func(self)
        vars(context)[OWNER] = self
        return context

    def hold(self) -> Callable[[Any], None] | None:
        """Hold the acknowledgement back; what is returned gives it. None where it is not held back.

        Cut off before, the message comes again. A task with slots is acknowledged at once, as ever:
        its slots cool from then, and what follows it may wait for one.
        """
        if TICKETS in self.request_dict or not self.task.acks_late:
            return None
        self._held = True

        def done(_: Any) -> None:
            self._held = False
            self.acknowledge()

        return done

    def acknowledge(self) -> None:
        """Acknowledge the message, unless that has to wait."""
        if not self._held:
            super().acknowledge()
            # behind it: cut off before, the message comes again and runs
            self.ticked.ended(self.request_dict)

    def _hand_on(self) -> None:
        """Acknowledge the message, of which the broker has a copy: the task has not ended."""
        super().acknowledge()

    def _carried(self) -> None:
        """Do so for a copy that carries a loss."""
        self.crash_counts.carried(self.id)
        self._hand_on()

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """A pool child has begun with the task."""
        if TICKETS in self.request_dict:
            self._child = process_of(pid)
            if self._child is not None:
                self.leftovers.accepted(self.id, self._child)
        super().on_accepted(pid, time_accepted)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The task takes longer than its limit."""
        if not soft and self._child:
            # What follows acknowledges the task and lets its slots cool; the pool ends the child,
            # with SIGTERM, only after that. It could call in between, and its call would count for
            # longer than its slot cools.
            _end(self._child)
        try:
            with self._told_of():
                super().on_timeout(soft, timeout)
        except self._connection_errors:
            raise
        # An `on_failure` of a task's own class: it may do anything.
        except BaseException as error:  # noqa: BLE001
            if is_refused_write(error) and not soft and self.task.acks_late:
                # Redis is away. Acknowledged now, the task would end without a result: it goes
                # back, and comes to its limit again when Redis takes the result. It goes back over
                # the next connection, if this one takes nothing.
                self.reject(requeue=True)
                return
            # Celery acknowledges last. Without an answer the message would keep its place in the
            # prefetch for ever.
            logger().error(Event.CALLBACKS_FAILED, **about(self), reason=safe_text(error))
            if not soft and self.task.acks_late:
                self.acknowledge()

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Somebody revoked the task and wants it ended."""
        if self.time_start and not self._child:
            # It may ignore the signal, and end as any task does: its process tells that. Otherwise
            # the pool tells of the process that the signal has ended. Celery would tell of an end
            # now, and answer the message of a task that runs.
            self._ended_by = number = signal_numbers.signum(signal or "TERM")
            pool.terminate_job(self.worker_pid, number)
            result = self._apply_result() if self._apply_result is not None else None
            if result is not None:
                result.terminate(number)
            return
        if self.time_start and self._child:
            # as above: whatever the signal is, the task calls no more once its slots cool
            _end(self._child)
        super().terminate(pool, signal)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        """The task will not run, or the signal has ended it."""
        super()._announce_revoked(reason, terminated, self._ended_by or signum, expired)

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """The task raised, or its process was lost."""
        error = exc_info.exception
        # not by its attribute `exc`, which a Retry has as well
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, MemoryError):
            # Celery raises it again, in the worker's own process, which has memory enough. The
            # child has stored the failure.
            state.task_ready(self)
            self.acknowledge()
        elif (
            isinstance(error, Reject)
            and self.task.acks_late
            and (error.requeue or _not_taken(error.reason))
        ):
            self._again(str(error.reason))
        elif isinstance(error, Reject) and error.requeue:
            # Acknowledged before it ran: the broker does not have it any more, and this is its end.
            error.requeue = False
            with self._told_of():
                super().on_failure(exc_info, send_failed_event, return_ok)
        elif isinstance(error, _LOST) and self.task.acks_late and not self._ends_otherwise():
            self._lost(error if isinstance(error, WorkerLostError) else _left(error), exc_info)
        elif not (isinstance(error, TimeLimitExceeded) and not return_ok):
            # The pool says so of a task that it ends at its limit, and calls on_timeout next, which
            # tells it all a second time.
            with self._told_of():
                super().on_failure(exc_info, send_failed_event, return_ok)

    def reject(self, requeue: bool = False) -> None:
        """Rejects the message; with `requeue` the broker delivers it again."""
        if requeue and not self.acknowledged:
            logger().warning(
                Event.TASK_REQUEUED,
                **about(self),
                reason="the worker did not run it, or not to its end",
            )
        super().reject(requeue)

    def _announce_cancelled(self, emit_retry: bool = True) -> None:
        """The worker ends, and the task has not finished."""
        if not (emit_retry and self.acknowledged):
            super()._announce_cancelled(emit_retry=emit_retry)
            return
        # Celery marks it as to be tried again. Nobody does: it was acknowledged before it ran, and
        # the broker has it no more.
        state.task_ready(self)
        self._already_cancelled = True
        try:
            raise WorkerLostError(
                "the worker ended before it, and it was acknowledged before it ran (acks_late = "
                "False)"
            )
        except WorkerLostError as error:
            self._fail(error, ExceptionInfo())

    @contextmanager
    def _told_of(self) -> Iterator[None]:
        """Let who is told of an end find the request: Celery makes it the current one of its task
        for some ends only.
        """
        self.task.request_stack.push(self._context)
        try:
            yield
        finally:
            self.task.request_stack.pop()

    def _lost(self, error: WorkerLostError, exc_info: Any) -> None:
        """The task runs again, as a copy that counts its losses; after MOST_CRASHES it
        has failed.
        """
        state.task_ready(self)
        crashes = self.crashes + 1
        if self.message.channel.connection is None:
            # What it came by is gone, and the broker delivers it as it was: it is counted here, and
            # given up when it comes.
            logger().warning(Event.TASK_REQUEUED, **about(self), crashes=crashes, reason=str(error))
            self.crash_counts.count(self.id)
        elif crashes + self.crash_counts.of(self.id) < MOST_CRASHES:
            logger().warning(Event.TASK_REQUEUED, **about(self), crashes=crashes, reason=str(error))
            # Acknowledged last: cut off before, the broker delivers the message again, and the loss
            # is counted here.
            self.crash_counts.on_way(self.id)
            self.requeuer.send_back(self.message, self._carried, headers={CRASHES: crashes})
        else:
            self._fail(error, exc_info)

    def abandon_task(self, crash_counts: int) -> None:
        """Fails the task instead of running it: its worker died `crash_counts` times
        while it ran.
        """
        state.task_ready(self)
        try:
            raise WorkerLostError(
                f"expected its worker to outlive it, found that it died {crash_counts} times while "
                "it ran"
            )
        except WorkerLostError as error:
            self._fail(error, ExceptionInfo())

    def _fail(self, error: WorkerLostError, exc_info: Any) -> None:
        self.task.backend.mark_as_failure(
            self.id, error, request=self._context, store_result=self.store_errors
        )
        details = {
            "args": self.args,
            "kwargs": self.kwargs,
            "traceback": exc_info.traceback,
            "einfo": exc_info,
        }
        with self._told_of():
            signals.task_failure.send(sender=self.task, task_id=self.id, exception=error, **details)
        self.acknowledge()  # last, too: cut off before, it is delivered and given up again

    def _again(self, reason: str) -> None:
        """It asked for this attempt once more, or the broker did not take the message of its next
        one, and it is not thrown away.

        It runs again after a pause that grows with each time: at once, it would keep a process
        busy, and use its quota up, for as long as its reason lasts. A copy comes back, for a quorum
        queue drops in the end what is handed back to it.
        """
        state.task_ready(self)
        returns = counted(self.request_dict, RETURNS)
        pause = pause_before(returns)
        logger().warning(Event.TASK_REQUEUED, **about(self), reason=reason, again_in_s=pause)
        # Acknowledged last, as above. A connection that breaks meanwhile gives the message back as
        # itself.
        self.requeuer.send_back_in(
            pause, self.message, self._hand_on, headers={RETURNS: returns + 1}
        )

    def _ends_otherwise(self) -> bool:
        """Whether this is the worker's own stop, or the task had already stored its result: Celery
        sees to both.
        """
        ended = state.should_terminate or self._already_cancelled or self._already_revoked
        return bool(ended or self._success_was_stored())

    @property
    def crashes(self) -> int:
        """How often a pool child was lost while it ran the task, on any host."""
        return counted(self.request_dict, CRASHES)


def _not_taken(reason: Any) -> bool:
    """Return whether the broker may take it another time: a key that leads nowhere is an error of
    the task.
    """
    return isinstance(reason, OperationalError) and not isinstance(reason, NoRoute)


def _left(error: BaseException) -> WorkerLostError:
    return WorkerLostError(
        f"the task left its process by {error!r}; raise another exception, or return"
    )


def _end(child: Process) -> None:
    """Kills the child and waits until it runs nothing any more, which takes the kernel a few
    milliseconds.
    """
    deadline = time.monotonic() + DEATH
    while child.alive and time.monotonic() < deadline:
        os.kill(child.pid, SIGKILL)
        time.sleep(0.001)
