"""Celery's pool, for tasks that write into its pipes, and for children that die at the same moment.

A pool child tells its worker by a pipe when it begins with a task and when it has ended. Celery
takes what it reads there as it comes: a task that writes into that pipe ends the worker's main
loop, each time it runs. Here it costs that child, and counts as a loss of the task at work in it,
which is given up at the fifth (request.py).

A child that is dead has said by its pipe whether it had begun with its task, and that is read
before anything is decided. Celery looks into the pipes of those only that it has found dead in this
turn; the task of a child that died a moment later ran again, uncounted.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import sys
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from inspect import isgenerator
from signal import SIGKILL
from struct import unpack
from termios import FIONREAD
from typing import Any

from billiard.pool import ACK, RUN, TERMINATE
from celery.concurrency import asynpool, prefork

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.process import reads, waits
from warren.worker.pool_messages import LARGEST, problem
from warren.worker.stuck_children import APART, StuckChildren

#: Seconds without a further byte after which a message that has begun is none: its writer has long
#: gone on.
_BROKEN_OFF = 60.0
#: Times that a task is given to another child because its child died and had neither said nor noted
#: that it began. It is counted as lost then: its message may end whoever reads it, or it erases
#: both.
MOST_UNSEEN = 20

Reading = Generator[None, None, None]


class ResultHandler(asynpool.ResultHandler):
    """Reads the messages of the pool children."""

    garbled: Callable[[Any, str], None]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        #: Messages that have begun, by the descriptor of their pipe, and when their last byte came.
        self.begun: dict[int, float] = {}
        self._last: dict[int, Reading] = {}

    def _recv_message(
        self, add_reader: Callable[..., None], fd: int, callback: Callable[[Any], None]
    ) -> Reading:
        """In the place of Celery's (5.7): a generator that reads one message, and yields where it
        has to wait for more.
        """
        proc = self.fileno_to_outq[fd]
        try:
            header = yield from self._bytes(proc, fd, 0, 4)
            (size,) = unpack(">i", header)
            if not 0 < size <= LARGEST:
                raise ValueError(f"expected a message of at most {LARGEST} bytes, found {size}")
            body = yield from self._bytes(proc, fd, 4, size)
            proc.half_read = bytearray()
            # The child is this process, forked, and of one trust with it.
            message = pickle.loads(body)  # noqa: S301
            reason = problem(message, proc.pid, proc.inqW_fd) if message else ""
        except (OSError, EOFError):
            raise
        except Exception as error:  # noqa: BLE001  whatever somebody's bytes lead to
            message, reason = None, f"{type(error).__name__}: {error}"
        finally:
            self.begun.pop(fd, None)
        if reason:
            self.garbled(proc, reason)
            return
        add_reader(fd, self.handle_event, fd)
        if message:
            proc.said = message[0]
            callback(message)

    def _bytes(self, proc: Any, fd: int, start: int, size: int) -> Generator[None, None, bytes]:
        # Kept with the child. At a broker that is lost the main loop begins again, with other
        # readers, and what one had read of a message would be missing in front of the rest.
        found: bytearray = proc.half_read
        while len(found) < start + size:
            try:
                piece = os.read(fd, start + size - len(found))
            except (BlockingIOError, InterruptedError):
                yield
                continue
            if not piece:
                raise EOFError
            found += piece
            self.begun[fd] = time.monotonic()
        return bytes(found[start : start + size])

    def flush(self, proc: Any) -> None:
        """Read what lies in the pipe of a child: all that it has said, if it is dead."""
        reader = proc.outq._reader
        if reader.closed or self.fileno_to_outq.get(reader.fileno()) is not proc:
            return
        fd = reader.fileno()
        registered = self._hub.readers.get(fd) if self._hub is not None else None
        reading: Any = registered[0] if registered and isgenerator(registered[0]) else None
        with suppress(OSError, EOFError):
            while not proc.garbled and self._state != TERMINATE:
                if self._step(
                    reading or self._recv_message(lambda *_: None, fd, self.on_state_change)
                ):
                    return
                reading = None

    @staticmethod
    def _step(reading: Reading) -> bool:
        """Return whether it has to wait for more."""
        try:
            next(reading)
        except StopIteration:
            return False
        return True

    def _flush_outqueue(
        self, fd: int, remove: Callable[..., Any], process_index: Any, on_state_change: Any
    ) -> Any:
        """In the place of Celery's (5.7), at the end of the worker: never waits for a message that
        has broken off.
        """
        proc = process_index.get(fd)
        if proc is None or proc.garbled or self._finish_partial_read(fd, proc):
            return remove(fd)
        reading = self._last.pop(fd, None) or self._recv_message(
            lambda *_: None, fd, on_state_change
        )
        try:
            if self._step(reading):
                self._last[fd] = reading
                time.sleep(0.05)
        except (OSError, EOFError):
            return remove(fd)
        return None


class Pool(asynpool.AsynPool):
    """The pool children of one worker."""

    ResultHandler = ResultHandler
    #: Whether the child with this index noted that it began with the task of this id
    #: (crash_counts.py).
    began: Callable[[int, str], bool] = staticmethod(lambda index, task_id: False)
    #: Called when the child with this index has died, to whom a task of this id was written whose
    #: message comes again.
    lost_unheard: Callable[[int, str], None] = staticmethod(lambda index, task_id: None)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._stuck = StuckChildren()
        super().__init__(*arguments, **options)

    def WorkerProcess(self, worker: Any) -> Any:  # noqa: N802  billiard's name
        """As Celery's."""
        made = super().WorkerProcess(worker)
        made.garbled = False
        made.said = None
        made.half_read = bytearray()
        #: Tasks that were written to it, and whose beginning nobody will hear of; and whether its
        #: death was counted for them.
        made.unheard = []
        made.counted = False
        return made

    def create_result_handler(self) -> Any:
        """As Celery's."""
        made = super().create_result_handler()
        made.garbled = self._garbled
        return made

    def _garbled(self, proc: Any, reason: str) -> None:
        """End a child in whose pipe was something else than its messages: where the next one
        begins, nobody knows.
        """
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
        """As Celery's, each 5 s and when a child has ended."""
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
        """As Celery's, and a look at children that do not begin."""
        return {**super().timers, self.end_stuck: APART}

    def end_stuck(self) -> None:
        """End the children that are idle and do not begin with the task that was written to them
        (stuck_children.py).

        That loses nothing: a child says that it begins before it does, and what it has said is read
        after its end. Those are ended, too, that wait for a task although they had one and nobody
        has heard its end: somebody has read that word.
        """
        jobs = list(self._cache.values())
        idle = {
            job._write_to.pid: job
            for job in jobs
            if self._waits_idly(job) or self._waits_unheard(job)
        }
        for pid in self._stuck.look({pid: job._job for pid, job in idle.items()}, time.monotonic()):
            logger().error(Event.POOL_STUCK, process=pid, task_id=idle[pid].correlation_id)
            # its end is seen by the pool alone, in this process: the number is still its own
            os.kill(pid, SIGKILL)

    def _waits_idly(self, job: Any) -> bool:
        """Return whether the child that has this task was idle at its last word, and waits now for
        something else.
        """
        proc = job._write_to
        if job._accepted or job.ready() or proc not in self._pool or job in self.outbound_buffer:
            return False
        # A child that starts has said nothing, and one that runs a task, also one that the pool has
        # forgotten, that it began.
        if proc.said in (None, ACK) or not proc._is_alive() or not waits(proc.pid):
            return False
        # It is this process that is slow where the task is written in parts and the child has read
        # all of them.
        return proc.inqW_fd not in self._active_writes or _unread(proc.inqW_fd) > 0

    def _waits_unheard(self, job: Any) -> bool:
        """Return whether the child that began with this task waits for the next one now.

        Whatever a task does, it is not that.
        """
        proc = job._write_to
        return (
            job._accepted
            and not job.ready()
            and proc in self._pool
            and reads(proc.pid, proc.inq._reader.fileno())
        )

    def flush(self) -> None:
        """As Celery's: as a connection ends, what no child has begun with is forgotten, for the
        broker delivers it again.

        It does not deliver what follows a task's end (callbacks.py): that stays.
        """
        if self._state != RUN:  # the worker ends, and has waited for what it waits for
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
            # its child may begin with it all the same
            if job._write_to is not None and job.correlation_id:
                job._write_to.unheard.append(job.correlation_id)
        self.outbound_buffer.extend(job for job in staying if _unwritten(job))

    def hear(self) -> None:
        """Read what the children have said until now."""
        if self._state == RUN:
            for proc in list(self._pool):
                self.process_flush_queues(proc)

    def process_flush_queues(self, proc: Any) -> None:
        """Read what a child has sent before it died. After garbage in its pipe nothing is."""
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
        """A task has reached its soft limit, unless its end is in the pipe: a loop that is late
        looks at the clock first.
        """
        self._hear_of(job)
        super()._on_soft_timeout(job, soft, hard, hub)

    def _on_hard_timeout(self, job: int) -> None:
        """The same at its hard limit.

        The child has told the end, and the worker would tell another one.
        """
        self._hear_of(job)
        super()._on_hard_timeout(job)

    def _hear_of(self, job: int) -> None:
        found = self._cache.get(job)
        if found is not None and found._write_to is not None:
            self.process_flush_queues(found._write_to)

    # Celery's name.
    def on_job_ready(self, job: Any, i: Any, obj: Any, inqW_fd: int) -> None:  # noqa: N803
        """A child has ended a task."""
        super().on_job_ready(job, i, obj, inqW_fd)
        proc = self._fileno_to_inq.get(inqW_fd)
        if proc is not None:
            # Somebody may have had the task terminated, and it has outlived the signal: a later
            # task that is lost with this child is none that somebody wanted to end.
            proc._job_terminated = proc._controlled_termination = False

    def on_job_process_down(self, job: Any, pid_gone: int) -> None:
        """The process of a task has ended."""
        proc = job._write_to or job._scheduled_for
        if proc is not None and proc in self._pool and not proc._is_alive():
            # It died after this turn had looked for dead ones. What it has said decides, and the
            # next turn, which begins with its end, does the rest: closed now, its pipe would take
            # the word with it that the task had begun.
            self.process_flush_queues(proc)
            if job._accepted or job.ready():
                return
        super().on_job_process_down(job, pid_gone)

    def on_partial_read(self, job: Any, proc: Any) -> None:
        """As Celery's: a task that no process has accepted goes to another one.

        That is no loss, as it has not begun: a child sends its word, and then notes the task,
        before it begins with it. Where the word is missing and the note is there, somebody has read
        the word out of the pipe.
        """
        super().on_partial_read(job, proc)
        if job._accepted or job.ready():
            return
        job.unseen = getattr(job, "unseen", 0) + 1
        # Delivered again, the same task may have been written to a child that began with its first
        # delivery.
        began = job.correlation_id not in proc.unheard and self.began(
            proc.index, job.correlation_id or ""
        )
        if began or job.unseen >= MOST_UNSEEN:
            with suppress(ValueError):
                self.outbound_buffer.remove(job)
            job._ack(None, time.monotonic(), proc.pid, None)
            self.mark_as_worker_lost(job, proc.exitcode or 0)


def _unwritten(job: Any) -> bool:
    """Return whether no child has this task, and none had it that may have begun with it."""
    alive = job._write_to is not None and job._write_to._is_alive()
    return not (job._accepted or job.ready() or alive)


def _unread(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, FIONREAD, bytes(4)), sys.byteorder)


class TaskPool(prefork.TaskPool):
    """Celery's pool of processes, with these."""

    Pool = Pool

    def hear(self) -> None:
        """Read what the children have said until now."""
        if self._pool is not None:
            self._pool.hear()
