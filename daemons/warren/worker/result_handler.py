"""Celery's reader of the pipes of pool children, made safe for tasks that write into these pipes.

A pool child tells its worker by a pipe when it begins a task and when the task has ended. Celery
uses what it reads there without a check. So a task that writes into the pipe would end the worker's
main loop each time that it runs. Here such garbage costs only the child. It counts as a loss of the
task that the child runs, which is given up at the fifth loss (request.py).
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

    #: Called with a child and a reason when the child's pipe holds something other than a message.
    #: The pool sets it, because Celery makes this object with fixed arguments.
    garbled: Callable[[Any, str], None]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        #: When the last byte of each unfinished message came (monotonic seconds), by the descriptor
        #: of the message's pipe.
        self.begun: dict[int, float] = {}
        self._last: dict[int, Reading] = {}

    def _recv_message(
        self, add_reader: Callable[..., None], fd: int, callback: Callable[[Any], None]
    ) -> Reading:
        """Read one message; yield while more bytes have to come first.

        Replaces Celery's method (5.7).
        """
        proc = self.fileno_to_outq[fd]
        try:
            header = yield from self._bytes(proc, fd, 0, 4)
            (size,) = unpack(">i", header)
            if not 0 < size <= LARGEST:
                raise ValueError(f"expected a message of at most {LARGEST} bytes, found {size}")
            body = yield from self._bytes(proc, fd, 4, size)
            proc.half_read = bytearray()
            # The child is a fork of this process, and is trusted as this process is.
            message = pickle.loads(body)  # noqa: S301
            reason = problem(message, proc.pid, proc.inqW_fd) if message else ""
        except (OSError, EOFError):
            raise
        except Exception as error:  # noqa: BLE001  any bytes may lead to any error
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
        # Kept with the child. When the broker is lost, the main loop begins again with new readers.
        # The bytes that an earlier reader has read of a message must not be missing before the
        # rest.
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
        """Read all that the pipe of a child holds. For a dead child this is all that it has
        reported.
        """
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
        """Read on, and return whether more bytes have to come first."""
        try:
            next(reading)
        except StopIteration:
            return False
        return True

    def _flush_outqueue(
        self, fd: int, remove: Callable[..., Any], process_index: Any, on_state_change: Any
    ) -> Any:
        """Read the rest at the end of the worker.

        Replaces Celery's method (5.7), which would wait for the rest of a message that has broken
        off.
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
