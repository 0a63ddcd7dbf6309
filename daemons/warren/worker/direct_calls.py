"""Slots for a governed task whose body is called directly, so that no gate has admitted it.

`task.map`, `starmap` and `chunks` make such calls, in a task of Celery's own that no quota governs.
So do an error callback with the arguments (request, error, traceback), `apply`, and a plain
`task(...)` in another task. Each call waits for slots of its own, as `with quota(...).call()` does.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from celery import Task

from warren.config import Settings
from warren.quotas.client import NoAllowance, held, quota
from warren.worker.child_slots import ChildSlots

#: Seconds between two attempts: another process may release a slot at any time.
PAUSE = 0.25


class DirectCalls:
    """Guards the governed tasks of one worker, before the pool children are forked."""

    def __init__(self, settings: Settings, allowance: ChildSlots) -> None:
        self._settings = settings
        self._allowance = allowance

    def guard(self, tasks: Mapping[str, Task]) -> None:
        """Let each call of a governed task's body take slots, unless the gate has admitted it."""
        for name, task in tasks.items():
            costs = {
                each: self._settings.quotas[each].cost for each in self._settings.quotas_of(name)
            }
            if costs:
                task.run = self._with_slots(name, task.run, costs)

    def _with_slots(
        self, name: str, run: Callable[..., Any], costs: Mapping[str, int]
    ) -> Callable[..., Any]:
        @functools.wraps(run)
        def body(*arguments: Any, **keywords: Any) -> Any:
            if self._allowance.enter(name):
                return run(*arguments, **keywords)
            with _slots(costs):
                return run(*arguments, **keywords)

        return body


@contextmanager
def _slots(costs: Mapping[str, int]) -> Iterator[None]:
    """Wait for so many slots of each quota. The slots cool from the end of the block.

    Inside the block `with quota(...).call()` uses these slots first. The slots include the caller's
    own unused slots: otherwise, under a limit of one, the call would wait for its own caller.
    """
    outer = held.get()
    with ExitStack() as stack:
        while (taken := _taken(costs)) is None:
            time.sleep(PAUSE)
        for calls in taken.values():
            for call in calls:
                stack.push(call)
        held.set(
            {
                **(outer or {}),
                **{name: [each.ticket for each in calls] for name, calls in taken.items()},
            }
        )
        try:
            yield
        finally:
            held.set(outer)


def _taken(costs: Mapping[str, int]) -> dict[str, list[Any]] | None:
    """Take slots of all quotas or of none.

    A task that kept some slots and waited for others could block another task.
    """
    taken: dict[str, list[Any]] = {}
    try:
        for name, cost in costs.items():
            for _ in range(cost):
                taken.setdefault(name, []).append(quota(name).call(timeout=0).__enter__())
    except NoAllowance:
        for calls in taken.values():
            for call in calls:
                call.not_sent()
                call.__exit__(None, None, None)
        return None
    return taken
