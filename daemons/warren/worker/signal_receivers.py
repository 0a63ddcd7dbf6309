"""Receivers of Celery's signals that task modules connect, called in the worker's own process.

Celery passes over their errors. Two more ways to fail would cost the worker: a receiver that leaves
its process, by `sys.exit` or another exception that is no `Exception`, would end it each time the
signal comes; a receiver that hangs would stop its loop.
"""

from __future__ import annotations

import os
from typing import Any
from weakref import ReferenceType

from celery import signals
from celery.utils.dispatch import Signal

from warren.logs.events import Event
from warren.logs.formatter import safe_text
from warren.logs.setup import logger
from warren.worker.bounded_call import TookTooLong, call_within

_SIGNALS = [signal for signal in vars(signals).values() if isinstance(signal, Signal)]
#: A pool child has not begun a task then: if a receiver leaves the process there, the child would
#: be replaced, and leave again.
_ALSO_IN_CHILDREN = "worker_process_init"
#: Signals that are sent before the worker takes messages, or when it takes none any more: their
#: receivers may take long, and supervise bounds them.
_MAY_LAST = {
    signals.celeryd_init.name,
    signals.celeryd_after_setup.name,
    signals.import_modules.name,
    signals.setup_logging.name,
    signals.after_setup_logger.name,
    signals.after_setup_task_logger.name,
    signals.worker_init.name,
    signals.worker_ready.name,
    signals.worker_process_init.name,
    signals.worker_process_shutdown.name,
    signals.worker_shutdown.name,
}
#: Seconds for one call of a receiver while the worker's loop waits for it: a third of the shortest
#: time for which a heartbeat may be silent.
TIMEOUT = 1.5
#: Calls in a row that took longer, after which a receiver is left out until the worker starts
#: again: a network that fails once costs no receiver, and a receiver that always hangs does not
#: cost TIMEOUT with each message.
MOST_HUNG = 3


def guard() -> None:
    """Guard each receiver that is connected by now: its failure does not end this process."""
    for signal in _SIGNALS:
        signal.receivers[:] = [
            (key, _Guarded(signal.name, receiver)) for key, receiver in signal.receivers
        ]
        signal.sender_receivers_cache.clear()


class Kept:
    """The receivers of Warren and Celery, as they are now: without them no task has a log line.

    A task may disconnect its own receivers.
    """

    def __init__(self) -> None:
        # The same list objects: Celery's tracers hold them.
        found = (
            (signal, signal.receivers, [each for each in signal.receivers if _is_needed(each[1])])
            for signal in _SIGNALS
        )
        self._kept = [(signal, receivers, needed) for signal, receivers, needed in found if needed]

    def restore(self) -> None:
        """Connect again what a task has disconnected from the signals of its process."""
        for signal, receivers, needed in self._kept:
            found = signal.receivers
            # Celery makes a new list when it drops receivers that are not referenced any more.
            if found is not receivers:
                receivers[:] = found if isinstance(found, list) else []
                signal.receivers = receivers
            if missing := [each for each in needed if each not in receivers]:
                receivers[:0] = missing
                signal.sender_receivers_cache.clear()


def _is_needed(receiver: Any) -> bool:
    function = _function_of(getattr(receiver, "_receiver", receiver))
    return str(getattr(function, "__module__", "")).partition(".")[0] in ("warren", "celery")


def _function_of(receiver: Any) -> Any:
    """Return what Celery connected, most often by a weak reference; None when it is gone."""
    return receiver() if isinstance(receiver, ReferenceType) else receiver


class _Guarded:
    """One receiver, called in its place."""

    def __init__(self, name: str, receiver: Any) -> None:
        self._name, self._receiver, self._worker = name, receiver, os.getpid()
        #: The number of its last calls in a row that took too long.
        self._hung = 0

    def __call__(self, **arguments: Any) -> Any:
        function = _function_of(self._receiver)
        at_worker = os.getpid() == self._worker
        if function is None or (at_worker and self._hung >= MOST_HUNG):
            return None
        try:
            answer = (
                call_within(TIMEOUT, function, arguments)
                if at_worker and self._name not in _MAY_LAST
                else function(**arguments)
            )
        except Exception:
            raise  # Celery logs it.
        except TookTooLong:
            self._tell_hung(function)
        except BaseException as error:
            if not at_worker and self._name != _ALSO_IN_CHILDREN:
                raise  # In a child the task leaves its process, and that is counted.
            self._tell(safe_text(error), "the worker continues")
        else:
            self._hung = 0
            return answer
        return None

    def _tell_hung(self, function: Any) -> None:
        self._hung += 1
        out = self._hung >= MOST_HUNG
        name = getattr(function, "__qualname__", type(function).__qualname__)
        self._tell(
            f"{name} took longer than {TIMEOUT:g} s, {self._hung} of {MOST_HUNG} times in a row",
            "it is left out until the worker starts again"
            if out
            else "it was ended, and the worker continues",
        )

    def _tell(self, reason: str, consequence: str) -> None:
        logger().error(
            Event.CALLBACKS_FAILED, reason=f"{self._name}: {reason}", consequence=consequence
        )
