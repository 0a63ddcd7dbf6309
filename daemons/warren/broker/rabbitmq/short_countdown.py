"""Tasks that are due within a second, sent to quorum queues. Celery has no delay that is so short.

Celery has RabbitMQ delay a task by whole seconds, and raises an error in the sender for a delay of
0 (celery 5.7, `Celery.send_task`). Here such a task goes to its queue at once, as on any other
broker, and the worker keeps it until it is due.
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.utils.time import maybe_make_aware

#: When the task that is being sent is due (ISO 8601); empty for a task without such a short delay.
_due: ContextVar[str] = ContextVar("warren_due", default="")


class DueSoon:
    """The part of a Celery app that lets its tasks be due at any time.

    The class comes before Celery in the order of base classes.
    """

    if TYPE_CHECKING:
        conf: Any

    def send_task(
        self,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: Any = None,
        eta: Any = None,
        *rest: Any,
        **options: Any,
    ) -> Any:
        """Send a task, with the arguments that Celery documents."""
        seconds = _seconds(countdown, eta) if self.conf.task_default_queue_type == "quorum" else 0.0
        soon = 0 < seconds < 1
        # Set for every task: while a task is being sent, a receiver of `before_task_publish` may
        # send another task.
        token = _due.set(
            (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat() if soon else ""
        )
        try:
            when = (None, None) if soon else (countdown, eta)
            return super().send_task(  # type: ignore[misc]
                name, args, kwargs, *when, *rest, **options
            )
        finally:
            _due.reset(token)


class App(DueSoon, Celery):
    """Celery's app, with tasks that may be due at any time."""


def set_due(headers: dict[str, Any]) -> None:
    """Write the due time of the task that is being sent into its headers, if it is soon."""
    if due := _due.get():
        headers["eta"] = due


def _seconds(countdown: Any, eta: Any) -> float:
    """Return the seconds until the task is due.

    Returns 0 when no time is given, and for a form of time that this function does not know.
    """
    if eta:
        try:
            moment = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
            return float((maybe_make_aware(moment, UTC) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError, AttributeError, OverflowError):
            return 0.0
    return float(countdown) if isinstance(countdown, int | float) else 0.0
