"""The guard around each task in a pool child: no task harms the tasks after it, nor the worker.

A task runs in a process that takes the next task when it has ended. It may change that process in
any way, leave it by an exception that is no `Exception` (`SystemExit`), or fork and return in both
processes. None of that may reach the next task or the worker.
"""

from __future__ import annotations

import functools
import sys
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]
from os import _exit, getpid, setpgid
from time import monotonic
from typing import Any

from billiard.process import current_process
from celery import Task
from celery.exceptions import Ignore, Reject, Retry
from celery.utils.serialization import UnpickleableExceptionWrapper
from kombu.exceptions import OperationalError

from warren.broker.unroutable import NoRoute
from warren.logs.formatter import safe_text
from warren.logs.line_limit import cut
from warren.system.process import adopt_orphans, die_before_others
from warren.system.process_state import TOOLS, ProcessState
from warren.worker.signal_receivers import Kept
from warren.worker.task_log import TOLD
from warren.worker.task_processes import Zombies

#: Exceptions that the worker acts on. The worker knows their types.
_KNOWN = (Reject, Ignore, Retry)
#: Characters of an exception's text that go to the worker.
_KEPT = 1000
#: Characters of an exception's traceback that go to the worker.
_TRACEBACK = 64_000

Tracer = Callable[..., tuple[Any, Any, Any, Any]]


class TaskGuard:
    """The guard of one pool child. The worker makes it before it forks."""

    def __init__(self) -> None:
        self._state: ProcessState | None = None
        self._receivers: Kept | None = None
        self._running = False
        #: The id of the last task whose end this process has reported.
        self.told: Callable[[str], bool] = lambda task_id: False
        self._tasks: Mapping[str, Task] = {}
        self._zombies = Zombies()

    def guard(self, tasks: Mapping[str, Task]) -> None:
        """Guard these tasks in the pool children that this process forks from now on."""
        self._tasks = tasks
        for task in tasks.values():
            # Celery asks for `run` when it builds a task's tracer, which each child does at its
            # start.
            task.run = self._alone(task.run)

    def begin_child(self) -> None:
        """Set this pool child apart from its worker."""
        # The child has its own process group: a task that signals its group reaches no worker, and
        # the worker knows what came from a child.
        setpgid(0, 0)
        # A process that a task starts and leaves behind becomes a child of this process, and of the
        # worker when this process ends.
        adopt_orphans()
        die_before_others()
        # This allows `multiprocessing` in a task. The flag says that this process may not have
        # children, because no process would end them; but the worker does. multiprocessing
        # documents that a started process cannot change the flag, but this object was made by the
        # parent.
        process = current_process()
        process.daemon = False
        with suppress(AttributeError):
            # A spawned process is given this key, and the standard library pickles only its own
            # type.
            process._config["authkey"] = AuthenticationString(process.authkey)
        for task in self._tasks.values():
            # Celery builds this tracer at the start of each child, just before this signal, and
            # calls it for each task.
            task.__trace__ = self._guarded(task.__trace__)

    def _alone(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return the body of a task with only one end.

        A copy of the process that the body has made by `fork` ends with the body. Otherwise the
        copy would report the task's end a second time, and then read half of the next task from the
        worker's pipe.
        """

        @functools.wraps(run)
        def body(*arguments: Any, **keywords: Any) -> Any:
            if self._running:  # A task that another task calls as a function is part of that task.
                return run(*arguments, **keywords)
            pid, self._running = getpid(), True
            try:
                return run(*arguments, **keywords)
            finally:
                self._running = False
                if getpid() != pid:
                    with suppress(Exception):
                        sys.stdout.flush()
                    _exit(_code(sys.exception()))
                # Before the result is stored and the end is logged: a low limit would make both
                # fail.
                if self._state is not None:
                    self._state.restore()
                if self._receivers is not None:
                    self._receivers.restore()

        return body

    def _guarded(self, trace: Tracer) -> Tracer:
        def guarded(*arguments: Any, **keywords: Any) -> tuple[Any, Any, Any, Any]:
            # Not earlier: the pool sets its own signal handlers after `begin_child`.
            if self._state is None:
                self._state = ProcessState(TOOLS)
                self._receivers = Kept()
            pid = getpid()
            try:
                value, info, seconds, text = trace(*arguments, **keywords)
                return (_plain(value) if info else value), info, seconds, text
            # The exception is passed on in a form that the worker can read.
            except BaseException as error:  # noqa: BLE001
                told = TOLD if arguments and self.told(arguments[0]) else ()
                # Its traceback goes along, cut like its text: no reader wants 100 MB of either.
                raise _portable(error, told) from (
                    error if len(safe_text(error)) <= _TRACEBACK else None
                )
            finally:
                # This process is a copy, and has come back by another way than the end of the
                # task's own code.
                if getpid() != pid:
                    _exit(0)
                if not self._state.restore():
                    _retire()
                self._zombies.step(monotonic())

        return guarded


def _code(error: BaseException | None) -> int:
    if error is None:
        return 0
    code = error.code if isinstance(error, SystemExit) else 1
    return 0 if code is None else code & 0xFF if isinstance(code, int) else 1


def _plain(failure: Any) -> Any:
    """Change the record of a task's failure so that the worker can read it.

    The worker does not have all types that a task has made.
    """
    failure.exception = _portable(getattr(failure.exception, "exc", failure.exception))
    failure.type = type(failure.exception)
    failure.traceback = cut(failure.traceback, _TRACEBACK)
    return failure


def _portable(error: BaseException, told: tuple[str, ...] = ()) -> Any:
    """Return the exception as a type that the worker has, too.

    An exception that the worker cannot read would end the worker's main loop.
    """
    if isinstance(error, SystemExit):
        return SystemExit(
            error.code if isinstance(error.code, int | None) else safe_text(error.code)[:_KEPT]
        )
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt()
    if isinstance(error, MemoryError):
        return MemoryError(safe_text(error)[:_KEPT])
    if isinstance(error, _KNOWN):
        return _bare(error)
    kind = type(error)
    if kind in (GeneratorExit, CancelledError, BaseException) and not told:
        return kind(safe_text(error)[:_KEPT])
    return UnpickleableExceptionWrapper(
        kind.__module__, kind.__name__, told, safe_text(error)[:_KEPT]
    )


def _bare(outcome: Any) -> Any:
    """Return what a task reports to the worker, without the parts that only this process can read.

    The exception for which the task is retried may be of a type that no other process has. The
    worker would then take the task for lost and run it once more, although its retry is on its way.
    """
    if isinstance(outcome, Reject):
        return Reject(_reason(outcome.reason), requeue=bool(outcome.requeue))
    if isinstance(outcome, Retry):
        return Retry(safe_text(outcome.excs)[:_KEPT] if outcome.excs else None)
    return Ignore()


def _reason(reason: Any) -> Any:
    if isinstance(reason, NoRoute):
        return NoRoute(reason.exchange, reason.key)
    if isinstance(reason, OperationalError):  # The worker has to tell these errors from others.
        return OperationalError(safe_text(reason)[:_KEPT])
    return (reason if isinstance(reason, str) else safe_text(reason))[:_KEPT]


def _retire() -> None:
    """Let this process end after it has reported its task.

    A limit that stays lowered would make the tasks after it fail.
    """
    with suppress(Exception):
        # The pool's loop takes an error at its next read for the end. The worker gives the bytes
        # that it has written meanwhile to another child.
        current_process().inq._reader.close()
