"""The callbacks of a task's end when the worker itself reports that end.

Callbacks here are error callbacks, the rest of a chain, a chord, and the task's own hooks.

Celery runs them in the worker's main loop when a task exceeds its time limit, is given up or is
revoked. A callback, or the `on_failure` and `after_return` of a task's own class, may hang or leave
its process, and a message may name something that is no callback at all. The worker would stop, or
keep the message's place in its prefetch for ever. So a pool child runs them, as it runs any task.

The broker cannot deliver a callback again once the message is acknowledged. So a worker that ends
waits for a callback as for a running task (drain.py), and the pool keeps the callback when the
connection breaks (pool.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from os import getpid
from time import monotonic
from typing import Any

from celery import Task, current_app
from celery.app.task import Context
from celery.app.trace import task_has_custom
from kombu.asynchronous import get_event_loop

from warren.logs.events import Event
from warren.logs.formatter import safe_text
from warren.logs.setup import logger

#: The attribute of a request's context that holds the request.
OWNER = "warren_request"
#: The least number of seconds that the hooks of a task have.
LEAST = 10.0
#: A worker that ends begins to store failures only within so many seconds. Supervise kills the
#: worker 10 s after its deadline.
STORING = 3.0
_FOLLOWED = ("errbacks", "chain", "chord")
_MARKS = ("mark_as_failure", "mark_as_revoked")
#: The hooks that Celery calls at a time limit, if the task's class has its own. The value is the
#: position of the error among the hook's arguments.
_HOOKS = {"on_failure": 0, "after_return": 1}
_Hooks = list[tuple[str, tuple[Any, ...]]]


@dataclass(eq=False)
class _Following:
    """A callback of one task's end, from the time when a pool child gets it until it is done."""

    task_id: str
    task: str | None
    #: Whether the message stays unacknowledged until the callback is done. Then the broker delivers
    #: the message again if the callback is cut off.
    held: bool
    #: Stores the end of the task in this process, without any callback.
    store: Callable[[], Any] = lambda: None


class Callbacks:
    """Passes callbacks of task ends to `pool`; lives in the worker's own process."""

    def __init__(self) -> None:
        self.pool: Callable[[], Any] = lambda: None
        self._hooks: dict[str, _Hooks] = {}
        self._following: set[_Following] = set()

    @property
    def running(self) -> bool:
        """Return whether a callback is unfinished. The end of the worker would cut it off."""
        return bool(self._following or self._hooks)

    def cut_off(self) -> None:
        """Log the callbacks that the worker's end cuts off; store the task ends not stored yet."""
        by = monotonic() + STORING
        for following in list(self._following):
            self._cut_off(following, monotonic() < by)
        for task_id, hooks in self._hooks.items():
            logger().error(
                Event.CALLBACKS_FAILED,
                task_id=task_id,
                reason=f"{hooks[0][0]}: the worker ended before it was called",
            )
        self._hooks.clear()

    def _cut_off(self, following: _Following, stores: bool = True) -> None:
        self._following.discard(following)
        if following.held:
            reason = "the worker ends before the callbacks of the task were done"
            logger().warning(
                Event.TASK_REQUEUED, task_id=following.task_id, task=following.task, reason=reason
            )
            return
        reason = "the worker ended before the callback was done, and the message was acknowledged"
        try:
            if stores:
                following.store()  # Storing it once more does no harm.
        # The worker ends cleanly, whatever error the result store raises.
        except Exception as error:  # noqa: BLE001
            reason = f"{reason}; its failure was not stored: {safe_text(error)}"
        logger().error(
            Event.CALLBACKS_FAILED, task_id=following.task_id, task=following.task, reason=reason
        )

    def _hand_over(
        self,
        following: _Following,
        function: Callable[..., None],
        arguments: tuple[Any, ...],
        done: Callable[[Any], None],
        failed: Callable[[Any], None],
        **options: Any,
    ) -> None:
        """Let a pool child call the function; call `done` or `failed` afterwards."""
        self._following.add(following)

        def ended(then: Callable[[Any], None], outcome: Any) -> None:
            self._following.discard(following)
            then(outcome)

        callbacks = {"callback": partial(ended, done), "error_callback": partial(ended, failed)}
        # This does not wait for a free child: the main loop must not wait.
        job = self.pool().apply_async(function, arguments, **callbacks, **options)
        # The pool is closed: the worker ends, and unacknowledged messages are delivered again.
        if job is None:
            self._cut_off(following)
        elif following.held:
            # When a connection breaks the pool forgets the job, and the message is delivered again.
            job.on_discard = partial(self._following.discard, following)
        else:
            job.stays = True

    def guard(self, backend: Any, tasks: Mapping[str, Task]) -> None:
        """Intercept the calls with which the worker reports an end.

        They are two methods of the backend, and the hooks of tasks.
        """
        for name in _MARKS:
            setattr(backend, name, self._intercepted(name, getattr(backend, name)))
        for task in tasks.values():
            for name in _HOOKS:
                if task_has_custom(task, name):
                    setattr(task, name, self._hook(task.name, name, getattr(task, name), getpid()))

    def tell_failure(self, task_id: str, task: str, error: Exception, store_result: bool) -> None:
        """Let a pool child store the failure of a task whose message no broker has any more."""
        following = _Following(task_id, task, held=False)
        lost = partial(_lost, task, task_id)
        self._hand_over(
            following,
            tell,
            ("mark_as_failure", task_id, error, {}, store_result),
            lambda _: None,
            lost,
        )

    def _hook(
        self, task: str, name: str, own: Callable[..., Any], worker: int
    ) -> Callable[..., Any]:
        def hook(*arguments: Any) -> Any:
            if getpid() != worker:  # In a pool child, which runs the task.
                return own(*arguments)
            task_id = arguments[_HOOKS[name] + 1]
            hooks = self._hooks.setdefault(task_id, [])
            hooks.append((name, arguments))
            # The hooks run in order, so they are handed over when Celery has called the last one.
            if len(hooks) == 1:
                get_event_loop().call_soon(self._begin_hooks, task, task_id)
            return None

        return hook

    def _begin_hooks(self, task: str, task_id: str) -> None:
        hooks = self._hooks.pop(task_id)
        name, arguments = hooks[0]
        # A hook that hangs may take as long as the task, and at least LEAST. However the hook ends,
        # nothing else is affected.
        limit = max(LEAST, arguments[_HOOKS[name]].args[0])
        lost = partial(_lost, task, task_id)
        following = _Following(task_id, task, held=False)
        self._hand_over(
            following, run_hooks, (task, task_id, hooks), lambda _: None, lost, timeout=limit
        )

    def _intercepted(self, name: str, mark: Callable[..., Any]) -> Callable[..., Any]:
        def intercepted(
            task_id: str,
            *arguments: Any,
            request: Any = None,
            store_result: bool = True,
            **more: Any,
        ) -> None:
            if request is None or not any(getattr(request, each, None) for each in _FOLLOWED):
                mark(task_id, *arguments, request=request, store_result=store_result, **more)
                return
            # Celery passes the cause by position and by name.
            cause = arguments[0] if arguments else more.get("exc", more.get("reason", ""))
            fields = {key: value for key, value in vars(request).items() if key != OWNER}
            done = vars(request)[OWNER].hold() if OWNER in vars(request) else None
            if isinstance(cause, BaseException):
                cause.__traceback__ = None
            alone = Context(fields | dict.fromkeys(_FOLLOWED))
            store = partial(mark, task_id, cause, request=alone, store_result=store_result)
            following = _Following(task_id, fields.get("task"), done is not None, store)
            acknowledge = done or (lambda _: None)

            def lost(info: Any) -> None:
                _lost(fields.get("task"), task_id, info)
                acknowledge(info)

            job = (name, task_id, cause, fields, store_result)
            self._hand_over(following, tell, job, acknowledge, lost)

        return intercepted


def run_hooks(task: str, task_id: str, hooks: _Hooks) -> None:
    """Call hooks of a task, in a pool child."""
    for name, arguments in hooks:
        try:
            getattr(current_app.tasks[task], name)(*arguments)
        except (SystemExit, KeyboardInterrupt):
            # The pool also ends a hook that takes too long in this way; the worker reports it.
            raise
        except BaseException as error:  # noqa: BLE001  a hook may raise anything
            reason = f"{name}: {safe_text(error)}"
            logger().error(Event.CALLBACKS_FAILED, task_id=task_id, task=task, reason=reason)


def _lost(task: str | None, task_id: str, info: Any) -> None:
    logger().error(
        Event.CALLBACKS_FAILED, task_id=task_id, task=task, reason=safe_text(info.exception)
    )


def begin_child(backend: Any) -> None:
    """Restore the backend's own methods in a pool child."""
    for name in _MARKS:
        vars(backend).pop(name, None)


def tell(name: str, task_id: str, cause: Any, fields: dict[str, Any], store_result: bool) -> None:
    """Report the end of a task and run its callbacks, in a pool child."""
    try:
        getattr(current_app.backend, name)(
            task_id, cause, request=Context(fields), store_result=store_result
        )
    except BaseException as error:  # noqa: BLE001  a callback may be any code, or none
        reason = safe_text(error)
        logger().error(
            Event.CALLBACKS_FAILED, task_id=task_id, task=fields.get("task"), reason=reason
        )
