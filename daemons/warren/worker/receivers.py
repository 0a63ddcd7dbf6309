"""Receivers of Celery's signals that task modules have connected, where the worker's own process calls them.

Celery passes over their errors. One that leaves its process, by `sys.exit` or another exception that is
no `Exception`, would end the worker each time the signal comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from weakref import ReferenceType

from celery import signals
from celery.utils.dispatch import Signal

from warren.events import Event
from warren.log import get
from warren.log_line import safe_text

_SIGNALS = [signal for signal in vars(signals).values() if isinstance(signal, Signal)]
#: A pool child has begun with no task then: left there, it would be made again, and leave again.
_ALSO_IN_CHILDREN = "worker_process_init"


def guard() -> None:
    """Have each receiver that is connected by now cost itself, and not this process."""
    for signal in _SIGNALS:
        signal.receivers[:] = [(key, _guarded(signal.name, receiver, os.getpid())) for key, receiver in signal.receivers]
        signal.sender_receivers_cache.clear()


def _guarded(name: str, receiver: Any, worker: int) -> Callable[..., Any]:
    def guarded(**given: Any) -> Any:
        own = receiver() if isinstance(receiver, ReferenceType) else receiver
        if own is None:  # nobody holds it any more
            return None
        try:
            return own(**given)
        except Exception:
            raise  # Celery says so
        except BaseException as error:
            if os.getpid() != worker and name != _ALSO_IN_CHILDREN:
                raise  # there it is the task that leaves its process, and that is counted
            reason = f"{name}: {safe_text(error)}"
            get().error(Event.CALLBACKS_FAILED, reason=reason, consequence="the worker goes on")
            return None

    return guarded
