"""What follows an end that the worker itself has to tell: error callbacks, the rest of a chain, a chord.

Celery sees to it in the worker's main loop, when a task is over its time limit, is given up or revoked.
A callback may hang or leave its process, and what a message brings may be none: the worker would stop,
or keep the message's place in its prefetch for ever. So a pool child does it, as it does for any task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import current_app
from celery.app.task import Context

from warren.events import Event
from warren.log import get
from warren.log_line import safe_text

#: The name under which a request's context knows its request.
OWNER = "warren_request"
_FOLLOWED = ("errbacks", "chain", "chord")
_MARKS = ("mark_as_failure", "mark_as_revoked")


class Aftermath:
    """Hands what follows to `pool`, in the worker's own process."""

    def __init__(self) -> None:
        self.pool: Callable[[], Any] = lambda: None

    def guard(self, backend: Any) -> None:
        """Stand before the two methods of the backend by which the worker tells an end."""
        for name in _MARKS:
            setattr(backend, name, self._aside(name, getattr(backend, name)))

    def _aside(self, name: str, mark: Callable[..., Any]) -> Callable[..., Any]:
        def told(task_id: str, *given: Any, request: Any = None, store_result: bool = True, **more: Any) -> None:
            if request is None or not any(getattr(request, each, None) for each in _FOLLOWED):
                mark(task_id, *given, request=request, store_result=store_result, **more)
                return
            cause = given[0] if given else more.get("exc", more.get("reason", ""))  # Celery gives it by place and by name
            fields = {key: value for key, value in vars(request).items() if key != OWNER}
            done = vars(request)[OWNER].hold() if OWNER in vars(request) else lambda _: None
            if isinstance(cause, BaseException):
                cause.__traceback__ = None
            job = (name, task_id, cause, fields, store_result)
            # Without waiting for a free child: the main loop does not wait.
            if self.pool().apply_async(tell, job, callback=done, error_callback=done) is None:
                done(None)  # the pool is closed: the worker ends, and the message comes again

        return told


def begin_child(backend: Any) -> None:
    """Give a pool child the backend's own methods back."""
    for name in _MARKS:
        vars(backend).pop(name, None)


def tell(name: str, task_id: str, cause: Any, fields: dict[str, Any], store_result: bool) -> None:
    """Tell the end, in a pool child, and do what follows it."""
    try:
        getattr(current_app.backend, name)(task_id, cause, request=Context(fields), store_result=store_result)
    except BaseException as error:  # noqa: BLE001  a callback is anybody's code, or nobody's
        reason = f"{type(error).__name__}: {safe_text(error)}"
        get().error(Event.CALLBACKS_FAILED, task_id=task_id, task=fields.get("task"), reason=reason)
