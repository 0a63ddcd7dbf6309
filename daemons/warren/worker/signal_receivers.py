"""Receivers of Celery's signals that task modules connect, called in the worker's own process.

Celery survives their errors. But two other failures would cost the worker. A receiver may end its
process, by `sys.exit` or by another exception that is not an `Exception`: the process would end
each time that the signal comes. And a receiver that hangs would stop the worker's loop.
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
#: Signals that come before a pool child has begun a task. If a receiver ended the process there,
#: the child would be replaced, and would end again.
_ALSO_IN_CHILDREN = "worker_process_init"
#: Signals that are sent before the worker takes messages, or after it has stopped taking messages.
#: Their receivers may take long, and supervise limits them.
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
#: After so many calls in a row that took longer, a receiver is left out until the worker starts
#: again. A network that fails once must cost no receiver, and a receiver that always hangs must not
#: cost TIMEOUT with each message.
MOST_HUNG = 3


def guard() -> None:
    """Guard each receiver that is connected by now.

    A guarded receiver's failure does not end this process.
    """
    for signal in _SIGNALS:
        signal.receivers[:] = [
            (key, _Guarded(signal.name, receiver)) for key, receiver in signal.receivers
        ]
        signal.sender_receivers_cache.clear()


class Kept:
    """The receivers of Warren and Celery as they are now.

    Without these receivers no task has a log line. A task may disconnect the receivers of its
    process.
    """

    def __init__(self) -> None:
        # The same list objects, because Celery's tracers hold them.
        found = (
            (signal, signal.receivers, [each for each in signal.receivers if _is_needed(each[1])])
            for signal in _SIGNALS
        )
        self._kept = [(signal, receivers, needed) for signal, receivers, needed in found if needed]

    def restore(self) -> None:
        """Connect again the receivers that a task has disconnected in its process."""
        for signal, receivers, needed in self._kept:
            found = signal.receivers
            # Celery makes a new list when it drops receivers that nothing refers to any more.
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
    """Return the function that was connected; None when it is gone.

    Celery mostly holds the function by a weak reference.
    """
    return receiver() if isinstance(receiver, ReferenceType) else receiver


class _Guarded:
    """A guarded receiver, which is called in the place of the original receiver."""

    def __init__(self, name: str, receiver: Any) -> None:
        self._name, self._receiver, self._worker = name, receiver, os.getpid()
        #: How many of the receiver's last calls in a row took too long.
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
                raise  # In a child the task ends its process, and this end is counted.
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
            "the receiver is left out until the worker starts again"
            if out
            else "the receiver was ended, and the worker continues",
        )

    def _tell(self, reason: str, consequence: str) -> None:
        logger().error(
            Event.CALLBACKS_FAILED, reason=f"{self._name}: {reason}", consequence=consequence
        )
