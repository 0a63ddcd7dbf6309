"""One at a time: while one holder works under a key, another caller is told who holds it.

@shared_task(name="shop.fetch_page")
@unique("page:{url}")
def fetch_page(url):
    ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from warren.config.advice import LOCK_SCOPE
from warren.tasks import held_lock, lock_contention
from warren.tasks.held_lock import Lock, Refusal
from warren.tasks.lock_contention import OnBusy
from warren.tasks.lock_interface import Done, NoLockStore, Scope
from warren.tasks.lock_key import Key, KeyOfCall, Rule, literal

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class unique:  # noqa: N801  authors write it as a decorator
    """Run a function, or a `with` block, only while no other holder works under the same key.

    key: a text. In a decorator `{name}` in it stands for the argument of that name, a function of
    the arguments returns the key, and without a key all arguments are the key. on_busy: what a
    refused call does: `raise` Busy, `retry` the task after `retry_in` seconds, or `skip` the work.
    wait: seconds that a call waits for the lock before that. scope: `host` for a lock among the
    processes of this host alone.
    """

    def __init__(
        self,
        key: Rule = None,
        *,
        on_busy: OnBusy = "raise",
        retry_in: float = 5.0,
        wait: float = 0.0,
        scope: Scope = "fleet",
    ) -> None:
        if scope not in ("fleet", "host"):
            raise ValueError(f"expected scope to be fleet or host, found {scope!r}")
        if retry_in < 0 or wait < 0:
            raise ValueError(f"expected seconds of 0 or more, found {min(retry_in, wait)}")
        self._rule, self._on_busy = key, lock_contention.checked(on_busy)
        self._retry_in, self._wait, self._scope = retry_in, wait, scope
        self._lock: Lock | None = None

    @staticmethod
    def current() -> Lock | None:
        """Return the innermost lock that the calling code holds; None without one."""
        return held_lock.current()

    def __call__(self, function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        """Return the function with the lock around each call."""
        key_of = KeyOfCall(self._rule, function, own=False)

        @functools.wraps(function)
        def locked(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
            key = key_of(arguments, keywords)
            try:
                lock = self._taken(key)
            except Refusal as refusal:
                skipped: Result = self._refused(key, refusal)
                return skipped
            with lock:
                return function(*arguments, **keywords)

        made: Callable[Parameters, Result] = marked(locked, function, self._scope)
        return made

    def __enter__(self) -> Lock:
        if not isinstance(self._rule, str):
            raise TypeError(f"unique: expected a text as key of a block, found {self._rule!r}")
        if self._on_busy == "skip":
            raise ValueError("unique: expected on_busy raise or retry for a block, found skip")
        if self._lock is not None:
            raise RuntimeError("expected a `unique` of its own for each `with` block, found one")
        key = literal(self._rule)
        try:
            self._lock = self._taken(key)
        except Refusal as refusal:
            self._refused(key, refusal)
            raise  # never reached: a refused block has raised
        return self._lock.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.__exit__(kind, error, trace)

    def _taken(self, key: Key) -> Lock:
        try:
            found = held_lock.take(key, self._scope, self._wait)
        except NoLockStore as error:
            task = lock_contention.running_task()
            if self._on_busy == "retry" and task is not None:
                lock_contention.retry(task, error, self._retry_in)
            raise
        if isinstance(found, Done):
            raise TypeError(f"{key.text}: expected a lock, found work that was done once")
        return found

    def _refused(self, key: Key, refusal: Refusal) -> Any:
        return lock_contention.refused(
            self._on_busy,
            refusal.busy,
            own_lock=held_lock.holds(key),
            left=refusal.left,
            retry_in=self._retry_in,
        )


def marked(made: Callable[..., Any], function: Callable[..., Any], scope: Scope) -> Any:
    """Return the decorated function, with what Celery and `warren check` ask of it."""
    # Celery checks the arguments of a call by the signature, and does not follow `__wrapped__`.
    made.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    setattr(made, LOCK_SCOPE, scope)
    return made
