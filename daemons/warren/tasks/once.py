"""Once: the second run of the same work does nothing, and returns the first run's result.

@shared_task(name="shop.invoice")
@once("invoice:{number}")
def invoice(number):
    ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from celery import current_task
from celery.exceptions import Ignore
from kombu.utils.json import dumps, loads

from warren.errors import WarrenError
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.tasks import held_lock, lock_contention
from warren.tasks.held_lock import Lock, LockLost, Refusal
from warren.tasks.lock_contention import OnBusy
from warren.tasks.lock_interface import Done, NoLockStore, Scope
from warren.tasks.lock_key import Key, KeyOfCall, Rule, of_run
from warren.tasks.unique import marked

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
#: Seconds for which the result of work is kept, unless the author says another time.
_DAY = 86400.0
#: The most bytes of a result that are kept for later runs.
LARGEST = 2**20


class ResultNotKept(WarrenError):
    """The work was done before, and its result was too large to be kept for later runs."""


class once:  # noqa: N801  authors write it as a decorator
    """Do the work of a function once for each key; later calls return the first call's result.

    key: as for `unique`, but each function has keys of its own. Without a key, the id of the
    running task: then a message that is delivered twice does its work once. keep: seconds for which
    the result is known. on_busy: what a call does while the first one runs. A call that failed, or
    whose process was lost, counts as not done: the next call does the work.
    """

    def __init__(
        self,
        key: Rule = None,
        *,
        keep: float = _DAY,
        on_busy: OnBusy = "retry",
        retry_in: float = 5.0,
        scope: Scope = "fleet",
    ) -> None:
        if keep < 1 or retry_in < 0:
            raise ValueError(f"expected keep >= 1 s, retry_in >= 0 s, found {keep}, {retry_in}")
        if scope not in ("fleet", "host"):
            raise ValueError(f"expected scope to be fleet or host, found {scope!r}")
        self._rule, self._keep, self._scope = key, keep, scope
        self._on_busy, self._retry_in = lock_contention.checked(on_busy), retry_in

    def __call__(self, function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        """Return the function that does its work once for each key."""
        rule = KeyOfCall(self._rule, function, own=True) if self._rule is not None else None

        @functools.wraps(function)
        def at_most_once(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
            key = rule(arguments, keywords) if rule else of_run(function, _task_id())
            try:
                found = self._taken(key)
            except Refusal as refusal:
                skipped: Result = self._refused(key, refusal)
                return skipped
            if isinstance(found, Done):
                first: Result = _first_result(key, found)
                return first
            with found as lock:
                result = function(*arguments, **keywords)
                self._note(lock, result)
                return result

        made: Callable[Parameters, Result] = marked(at_most_once, function, self._scope)
        return made

    def _taken(self, key: Key) -> Lock | Done:
        try:
            return held_lock.take(key, self._scope)
        except NoLockStore as error:
            task = lock_contention.running_task()
            if self._on_busy == "retry" and task is not None:
                lock_contention.retry(task, error, self._retry_in)
            raise

    def _refused(self, key: Key, refusal: Refusal) -> Any:
        return lock_contention.refused(
            self._on_busy,
            refusal.busy,
            own_lock=held_lock.holds(key),
            left=refusal.left,
            retry_in=self._retry_in,
        )

    def _note(self, lock: Lock, result: object) -> None:
        """Note that the work is done. Raises LockLost when another run may have done it, too."""
        text = dumps(result)
        if len(text.encode()) > LARGEST:
            text = ""  # the work is known to be done, its result is not
        try:
            noted = lock.finish(text, self._keep)
        except NoLockStore as problem:
            logger().warning(Event.RUN_NOT_RECORDED, key=lock.key, reason=str(problem))
            return
        if not noted:
            raise LockLost(
                f"{lock.key}: the lock was lost before the end of the work; another run may do the "
                "work, too"
            )


def _first_result(key: Key, found: Done) -> Any:
    task, holder = lock_contention.running_task(), found.holder
    logger().info(Event.RUN_REPEATED, key=key.text, first_task_id=holder.task_id)
    if found.result:
        return loads(found.result)
    if task is not None and task.request.id == holder.task_id:
        raise Ignore  # the result of the first delivery stays in the result backend
    raise ResultNotKept(
        f"{key.text}: the work was done before, and its result was larger than {LARGEST} bytes: "
        f"{holder}; read the result of that task"
    )


def _task_id() -> str:
    task = lock_contention.running_task() or current_task
    identity = task.request.id if task else None
    if identity is None:
        raise ValueError("once: expected a key for a call outside a task, found none")
    return str(identity)
