"""Celery's request of a task, with Warren's changes to how a task ends.

`Task.Request` is Celery's hook for this class.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals
from celery.exceptions import Reject
from celery.platforms import signals as signal_numbers
from celery.worker import state
from kombu.exceptions import OperationalError

from warren.broker.redis.write_refusal import is_refused_write
from warren.broker.unroutable import NoRoute
from warren.logs.events import Event
from warren.logs.formatter import safe_text
from warren.logs.setup import logger
from warren.system.process import Process, process_of
from warren.worker.acknowledgement import AcknowledgedRequest
from warren.worker.crash_counts import CrashCounts
from warren.worker.duplicate_ticks import DuplicateTicks
from warren.worker.message_copy import CRASHES, RETURNS, TICKETS, counted, pause_before
from warren.worker.requeue import Requeuer
from warren.worker.task_fields import about
from warren.worker.task_processes import TaskProcesses, kill_and_wait

#: A task is given up when its process or its worker was lost so often (killed, crashed, out of
#: memory): it would take every process with it. Innocent tasks are lost in a power cut and by an
#: operator's kill -9, though hardly so often.
MOST_CRASHES = 5
#: The names by which the pool says that the process of a task is gone. The last two are raised by a
#: task itself (`sys.exit`): the pool passes them on and lets the process go. A task has many such
#: ways to leave its process.
_LOST = (WorkerLostError, SystemExit, KeyboardInterrupt)


class Request(AcknowledgedRequest):
    """A task from its message to its end."""

    requeuer: ClassVar[Requeuer]
    task_processes: ClassVar[TaskProcesses]
    #: The pool child that runs the task, if the task was admitted with slots.
    _child: Process | None = None
    #: The signal by which remote control wants to end the task.
    _ended_by: int | None = None

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Note that a pool child has begun the task."""
        if TICKETS in self.request_dict:
            self._child = process_of(pid)
            if self._child is not None:
                self.task_processes.accepted(self.id, self._child)
        super().on_accepted(pid, time_accepted)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """End a task that exceeds its limit, and report its end."""
        if not soft and self._child:
            # The next line acknowledges the task and lets its slots cool. The pool ends the child,
            # with SIGTERM, only after that. The task could make a call in between, and this call
            # would count for longer than the task's slot cools.
            kill_and_wait(self._child)
        try:
            with self._told_of():
                super().on_timeout(soft, timeout)
        except self._connection_errors:
            raise
        # Raised by an `on_failure` of the task's own class, which may raise anything.
        except BaseException as error:  # noqa: BLE001
            if is_refused_write(error) and not soft and self.task.acks_late:
                # Redis is away. Acknowledged now, the task would end without a result. So its
                # message goes back, over the next connection if this one takes nothing. The task
                # then comes to its limit again, when Redis takes the result.
                self.reject(requeue=True)
                return
            # Celery acknowledges last. Without an answer the message would hold its place in the
            # prefetch for ever.
            logger().error(Event.CALLBACKS_FAILED, **about(self), reason=safe_text(error))
            if not soft and self.task.acks_late:
                self.acknowledge()

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """End a task that was revoked by remote control."""
        if self.time_start and not self._child:
            # The task may ignore the signal and end as any task does: then its process reports the
            # end. Otherwise the pool reports that the signal has ended the process. Celery would
            # report an end already now, and answer the message of a task that still runs.
            self._ended_by = number = signal_numbers.signum(signal or "TERM")
            pool.terminate_job(self.worker_pid, number)
            result = self._apply_result() if self._apply_result is not None else None
            if result is not None:
                result.terminate(number)
            return
        if self.time_start and self._child:
            # as above: whatever the signal is, the task must make no call after its slots cool
            kill_and_wait(self._child)
        super().terminate(pool, signal)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        """Report that the task will not run, or that the signal has ended it."""
        super()._announce_revoked(reason, terminated, self._ended_by or signum, expired)

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Handle that the task raised, or that its process was lost."""
        error = exc_info.exception
        # not by the attribute `exc`, which a Retry has as well
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, MemoryError):
            # Celery raises the error again, in the worker's own process, which has memory enough.
            # The child has stored the failure.
            state.task_ready(self)
            self.acknowledge()
        elif (
            isinstance(error, Reject)
            and self.task.acks_late
            and (error.requeue or _not_taken(error.reason))
        ):
            self._run_again(str(error.reason))
        elif isinstance(error, Reject) and error.requeue:
            # The message was acknowledged before the task ran, so the broker no longer has it. This
            # is the task's end.
            error.requeue = False
            with self._told_of():
                super().on_failure(exc_info, send_failed_event, return_ok)
        elif isinstance(error, _LOST) and self.task.acks_late and not self._ends_otherwise():
            self._lost(error if isinstance(error, WorkerLostError) else _left(error), exc_info)
        elif not (isinstance(error, TimeLimitExceeded) and not return_ok):
            # The pool says so of a task that it ends at its limit, and then calls on_timeout. That
            # call would report the end a second time.
            with self._told_of():
                super().on_failure(exc_info, send_failed_event, return_ok)

    def reject(self, requeue: bool = False) -> None:
        """Reject the message.

        requeue: the broker delivers the message again.
        """
        if requeue and not self.acknowledged:
            logger().warning(
                Event.TASK_REQUEUED,
                **about(self),
                reason="the worker did not run the task to its end",
            )
        super().reject(requeue)

    def _announce_cancelled(self, emit_retry: bool = True) -> None:
        """Report that the worker ends before the task has finished."""
        if not (emit_retry and self.acknowledged):
            super()._announce_cancelled(emit_retry=emit_retry)
            return
        # Celery marks the task as to be tried again. But no worker tries it: its message was
        # acknowledged before the task ran, and the broker no longer has it.
        state.task_ready(self)
        self._already_cancelled = True
        try:
            raise WorkerLostError(
                "the worker ended before the task, and the message was acknowledged before that "
                "(acks_late = False)"
            )
        except WorkerLostError as error:
            self._fail(error, ExceptionInfo())

    @contextmanager
    def _told_of(self) -> Iterator[None]:
        """Make the request the current request of its task.

        The receivers of an end then find the request. Celery does so for some ends only.
        """
        self.task.request_stack.push(self._context)
        try:
            yield
        finally:
            self.task.request_stack.pop()

    def _lost(self, error: WorkerLostError, exc_info: Any) -> None:
        """Have the task run again, from a copy that counts its crashes.

        After MOST_CRASHES crashes the task has failed.
        """
        state.task_ready(self)
        crashes = self.crashes + 1
        if self.message.channel.connection is None:
            # The connection of the message is gone, and the broker delivers the message unchanged.
            # So the crash is counted here, and the task is given up when it comes.
            logger().warning(Event.TASK_REQUEUED, **about(self), crashes=crashes, reason=str(error))
            self.crash_counts.count(self.id)
        elif crashes + self.crash_counts.of(self.id) < MOST_CRASHES:
            logger().warning(Event.TASK_REQUEUED, **about(self), crashes=crashes, reason=str(error))
            # Acknowledged last: after a cut before this, the broker delivers the message again, and
            # the crash is counted here.
            self.crash_counts.on_way(self.id)
            self.requeuer.send_back(
                self.message, self._acknowledge_counted, headers={CRASHES: crashes}
            )
        else:
            self._fail(error, exc_info)

    def abandon_task(self, crashes: int) -> None:
        """Fail the task instead of running it, because its worker died `crashes` times while it
        ran.
        """
        state.task_ready(self)
        try:
            raise WorkerLostError(
                f"expected the worker to outlive the task, found that the worker died {crashes} "
                "times while the task ran"
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

    def _run_again(self, reason: str) -> None:
        """Have the task run again.

        Either the task has asked to repeat this attempt, or the broker did not take the message of
        the next attempt, and the task must not be lost. It runs after a pause that grows with each
        repetition: without a pause it would keep a process busy, and use up its quota, for as long
        as the reason lasts. A copy comes back, because a quorum queue would in the end drop a
        message that is requeued again and again.
        """
        state.task_ready(self)
        returns = counted(self.request_dict, RETURNS)
        pause = pause_before(returns)
        logger().warning(Event.TASK_REQUEUED, **about(self), reason=reason, again_in_s=pause)
        # Acknowledged last, as above. If the connection breaks before that, the broker delivers the
        # message itself.
        self.requeuer.send_back_in(
            pause, self.message, self._acknowledge_copied, headers={RETURNS: returns + 1}
        )

    def _ends_otherwise(self) -> bool:
        """Return whether the worker is stopping, or the task had already stored its result.

        Celery handles both cases.
        """
        ended = state.should_terminate or self._already_cancelled or self._already_revoked
        return bool(ended or self._success_was_stored())

    @property
    def crashes(self) -> int:
        """Return how often a pool child was lost while it ran the task, on any host."""
        return counted(self.request_dict, CRASHES)


def request_class(
    requeuer: Requeuer,
    crash_counts: CrashCounts,
    task_processes: TaskProcesses,
    duplicate_ticks: DuplicateTicks,
) -> type[Request]:
    """Return the class of one worker's requests.

    Celery makes each request with arguments of its own, so the worker's parts are bound to a class.
    """
    parts = {
        "requeuer": requeuer,
        "crash_counts": crash_counts,
        "task_processes": task_processes,
        "duplicate_ticks": duplicate_ticks,
    }
    return cast(type[Request], type(Request.__name__, (Request,), parts))


def _not_taken(reason: Any) -> bool:
    """Return whether the broker may take the message at another time.

    A routing key that leads to no queue is an error of the task.
    """
    return isinstance(reason, OperationalError) and not isinstance(reason, NoRoute)


def _left(error: BaseException) -> WorkerLostError:
    return WorkerLostError(
        f"the task ended its process by {error!r}; raise another exception, or return"
    )
