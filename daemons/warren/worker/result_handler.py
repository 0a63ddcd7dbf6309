"""Celery's reader of the pipes of pool children, for tasks that write into them.

A pool child tells its worker by a pipe when it begins with a task and when it has ended. Celery
takes what it reads there as it comes: a task that writes into that pipe ends the worker's main
loop, each time it runs. Here it costs that child, and counts as a loss of the task at work in it,
which is given up at the fifth (request.py).
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from inspect import isgenerator
from struct import unpack
from typing import Any

from billiard.pool import TERMINATE
from celery.concurrency import asynpool

from warren.worker.pool_messages import LARGEST, problem

Reading = Generator[None, None, None]


class ResultHandler(asynpool.ResultHandler):
    """Reads the messages of the pool children."""

    #: Called with a child and a reason when its pipe has something else than a message. The pool
    #: sets it, for Celery makes this object with fixed arguments.
    garbled: Callable[[Any, str], None]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        #: When the last byte came of each message that has begun, by the descriptor of its pipe, in
        #: seconds (monotonic).
        self.begun: dict[int, float] = {}
        self._last: dict[int, Reading] = {}

    def _recv_message(
        self, add_reader: Callable[..., None], fd: int, callback: Callable[[Any], None]
    ) -> Reading:
        """Read one message, in place of Celery's method (5.7); yield where more has to come
        first.
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
        except Exception as error:  # noqa: BLE001  bytes of any kind lead to any error
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
        # Kept with the child. When the broker is lost the main loop begins again, with other
        # readers, and what an earlier reader had read of a message would be missing in front of
        # the rest.
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
        """Read on, and return whether more has to come first."""
        try:
            next(reading)
        except StopIteration:
            return False
        return True

    def _flush_outqueue(
        self, fd: int, remove: Callable[..., Any], process_index: Any, on_state_change: Any
    ) -> Any:
        """Read the rest at the end of the worker, in place of Celery's method (5.7), which would
        wait for a message that has broken off.
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
