"""Celery's pool, safe when children die together and when tasks write into its pipes.

result_handler.py reads the messages in the pipes.

A dead child has said by its pipe whether it had begun its task. The pool reads this before it
decides anything. Celery itself looks only into the pipes of children that it has found dead in the
present step of its loop: when a child died a moment later, its task ran again without being
counted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from signal import SIGKILL
from typing import Any

from billiard.pool import ACK, RUN, TERMINATE
from celery.concurrency import asynpool, prefork

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.process import reads, waits
from warren.worker.crash_counts import CrashCounts
from warren.worker.pool_messages import unread
from warren.worker.result_handler import ResultHandler
from warren.worker.stuck_children import APART, StuckChildren

#: Seconds. A message that has begun, and has got no further byte for so long, is not a message: its
#: writer has continued with something else long ago.
_BROKEN_OFF = 60.0
#: Times that a task is given to another child because its child died, and had neither said nor
#: noted that it began. Then the task counts as lost: its message may end each process that reads
#: it, or the task erases both traces.
MOST_UNSEEN = 20


class Pool(asynpool.AsynPool):
    """The pool children of one worker."""

    ResultHandler = ResultHandler

    def __init__(
        self,
        *arguments: Any,
        began: Callable[[int, str], bool] = lambda index, task_id: False,
        lost_unheard: Callable[[int, str], None] = lambda index, task_id: None,
        **options: Any,
    ) -> None:
        """Make the children.

        began: returns whether the child with this index has noted that it began the task with this
        id (crash_counts.py). lost_unheard: called when the child with this index has died while it
        had a task with this id whose message comes again.
        """
        self.began, self.lost_unheard = began, lost_unheard
        self._stuck = StuckChildren()
        super().__init__(*arguments, **options)

    def WorkerProcess(self, worker: Any) -> Any:  # noqa: N802  billiard's name
        """Make a child as Celery does, and add what Warren notes of the child."""
        made = super().WorkerProcess(worker)
        made.garbled = False
        made.said = None
        made.half_read = bytearray()
        #: Tasks that were written to the child, and whose beginning will not be reported to any
        #: process; and whether the child's death was counted for them.
        made.unheard = []
        made.counted = False
        return made

    def create_result_handler(self) -> Any:
        """Make the reader of the pipes; unlike Celery's, it reports garbage in a pipe."""
        made = super().create_result_handler()
        made.garbled = self._garbled
        return made

    def _garbled(self, proc: Any, reason: str) -> None:
        """End a child whose pipe holds something else: the next message cannot be found."""
        proc.garbled = True
        hub = self._result_handler._hub
        if hub is not None:
            hub.remove_reader(proc.outqR_fd)
        consequence = "the process is ended, and its task counts as lost"
        logger().error(
            Event.POOL_GARBLED, process=proc.pid, reason=reason[:400], consequence=consequence
        )
        if proc._is_alive():
            os.kill(proc.pid, SIGKILL)

    def maintain_pool(self) -> None:
        """Maintain the pool as Celery does, every 5 s and when a child has ended.

        A child whose message has broken off is ended.
        """
        handler = self._result_handler
        for fd, last in list(handler.begun.items()):
            proc = self._fileno_to_outq.get(fd)
            if proc is None:
                handler.begun.pop(fd, None)
            elif time.monotonic() - last > _BROKEN_OFF:
                handler.begun.pop(fd, None)
                self._garbled(proc, "expected the rest of a message")
        super().maintain_pool()

    @property
    def timers(self) -> dict[Callable[[], None], float]:
        """Return Celery's timers, and a timer for children that do not begin their task."""
        return {**super().timers, self.end_stuck: APART}

    def end_stuck(self) -> None:
        """End the children that are idle and do not begin the task that was written to them.

        stuck_children.py finds these children. Ending them loses no task: a child reports that it
        begins before it begins, and its reports are read after its end. A child that waits for a
        task is also ended when it had a task whose end the pool has not heard: another process has
        read the message of that end.
        """
        jobs = list(self._cache.values())
        idle = {
            job._write_to.pid: job
            for job in jobs
            if self._waits_idly(job) or self._waits_unheard(job)
        }
        for pid in self._stuck.look({pid: job._job for pid, job in idle.items()}, time.monotonic()):
            logger().error(Event.POOL_STUCK, process=pid, task_id=idle[pid].correlation_id)
            # Only the pool, in this process, reaps the child: so the pid is still the child's.
            os.kill(pid, SIGKILL)

    def _waits_idly(self, job: Any) -> bool:
        """Return whether the child that has this task was idle at its last message and waits now.

        It waits for something else than this task.
        """
        proc = job._write_to
        if job._accepted or job.ready() or proc not in self._pool or job in self.outbound_buffer:
            return False
        # A child that starts has reported nothing. A child that runs a task has reported that it
        # began, even if the pool has forgotten the task.
        if proc.said in (None, ACK) or not proc._is_alive() or not waits(proc.pid):
            return False
        # When the task is written in parts and the child has read all of them so far, this process
        # is the slow one.
        return proc.inqW_fd not in self._active_writes or unread(proc.inqW_fd) > 0

    def _waits_unheard(self, job: Any) -> bool:
        """Return whether the child that began this task now waits for the next task.

        A task never waits in this way, whatever it does.
        """
        proc = job._write_to
        return (
            job._accepted
            and not job.ready()
            and proc in self._pool
            and reads(proc.pid, proc.inq._reader.fileno())
        )

    def flush(self) -> None:
        """Forget the tasks that no child has begun, as Celery does when a connection ends.

        The broker delivers these tasks again. It does not deliver the callbacks that follow a
        task's end (callbacks.py), so these stay.
        """
        if self._state != RUN:  # the worker ends, and waits for tasks no longer
            super().flush()
            return
        waiting = [job for job in self._cache.values() if not job._accepted]
        staying = [job for job in waiting if getattr(job, "stays", False)]
        for job in staying:
            job.discard = lambda: None
        super().flush()
        for job in staying:
            del job.discard
        for job in set(waiting) - set(staying):
            getattr(job, "on_discard", lambda: None)()
            # The child of this task may begin it all the same.
            if job._write_to is not None and job.correlation_id:
                job._write_to.unheard.append(job.correlation_id)
        self.outbound_buffer.extend(job for job in staying if _unwritten(job))

    def hear(self) -> None:
        """Read what the children have said until now."""
        if self._state == RUN:
            for proc in list(self._pool):
                self.process_flush_queues(proc)

    def process_flush_queues(self, proc: Any) -> None:
        """Read what a child, alive or dead, has sent until now.

        After garbage in its pipe no further bytes are read.
        """
        if not proc.garbled and self._state != TERMINATE:
            self._result_handler.flush(proc)
        if proc.unheard and not proc.counted and not proc._is_alive():
            proc.counted = True
            heard = {
                job.correlation_id for job in self._cache.values() if job._worker_pid == proc.pid
            }
            for task_id in set(proc.unheard) - heard:
                self.lost_unheard(proc.index, task_id)

    def _on_soft_timeout(self, job: int, soft: float, hard: float | None, hub: Any) -> None:
        """Note that a task has reached its soft limit, unless its end is already in the pipe.

        When the loop is late, it looks at the clock before it reads the pipe.
        """
        self._hear_of(job)
        super()._on_soft_timeout(job, soft, hard, hub)

    def _on_hard_timeout(self, job: int) -> None:
        """Note that a task has reached its hard limit, unless its end is already in the pipe.

        If the child has reported the end already, the worker would report a second end.
        """
        self._hear_of(job)
        super()._on_hard_timeout(job)

    def _hear_of(self, job: int) -> None:
        found = self._cache.get(job)
        if found is not None and found._write_to is not None:
            self.process_flush_queues(found._write_to)

    # The argument has Celery's name.
    def on_job_ready(self, job: Any, i: Any, obj: Any, inqW_fd: int) -> None:  # noqa: N803
        """Note that a child has ended a task."""
        super().on_job_ready(job, i, obj, inqW_fd)
        proc = self._fileno_to_inq.get(inqW_fd)
        if proc is not None:
            # Remote control may have terminated the task, and the task may have outlived the
            # signal. If a later task is lost with this child, no operator wanted that task to end.
            proc._job_terminated = proc._controlled_termination = False

    def on_job_process_down(self, job: Any, pid_gone: int) -> None:
        """Note that the process of a task has ended."""
        proc = job._write_to or job._scheduled_for
        if proc is not None and proc in self._pool and not proc._is_alive():
            # The child died after this step had looked for dead children. Its own reports decide.
            # The next step begins with this child's end and does the rest. If the pipe were closed
            # now, the message that the task had begun would be lost with it.
            self.process_flush_queues(proc)
            if job._accepted or job.ready():
                return
        super().on_job_process_down(job, pid_gone)

    def on_partial_read(self, job: Any, proc: Any) -> None:
        """Give a task that no child has accepted to another child, as Celery does.

        This is not a loss, because the task has not begun: before a child begins a task, it sends a
        message and notes the task. If the note is there and the message is missing, another process
        has read the message out of the pipe.
        """
        super().on_partial_read(job, proc)
        if job._accepted or job.ready():
            return
        job.unseen = getattr(job, "unseen", 0) + 1
        # The same task may have been delivered a second time and written to a child that had begun
        # its first delivery.
        began = job.correlation_id not in proc.unheard and self.began(
            proc.index, job.correlation_id or ""
        )
        if began or job.unseen >= MOST_UNSEEN:
            with suppress(ValueError):
                self.outbound_buffer.remove(job)
            job._ack(None, time.monotonic(), proc.pid, None)
            self.mark_as_worker_lost(job, proc.exitcode or 0)


def _unwritten(job: Any) -> bool:
    """Return whether no child has this task, and no child had it that may have begun it."""
    alive = job._write_to is not None and job._write_to._is_alive()
    return not (job._accepted or job.ready() or alive)


class TaskPool(prefork.TaskPool):
    """Celery's pool of processes, with the children of this module."""

    Pool = Pool

    def hear(self) -> None:
        """Read what the children have said until now."""
        if self._pool is not None:
            self._pool.hear()


def counting_pool(crash_counts: CrashCounts) -> type[TaskPool]:
    """Return a class of pools that count the crashes of their children in `crash_counts`.

    A partial would not do: Celery reads attributes of the class before it makes a pool.
    """

    class CountingPool(TaskPool):
        Pool = staticmethod(  # type: ignore[assignment]
            partial(Pool, began=crash_counts.began, lost_unheard=crash_counts.lost_unheard)
        )

    return CountingPool
