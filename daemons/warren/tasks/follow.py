"""The progress of a task, as another process reads it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from celery.backends.rpc import RPCBackend
from celery.exceptions import TimeoutError  # noqa: A004  `result.get` raises Celery's own class
from celery.result import AsyncResult
from celery.states import READY_STATES

from warren.tasks.progress import STATE

_LOOK = 0.1  # seconds between two reads by a process that follows a task


@dataclass(frozen=True)
class Progress:
    """The progress of a task: `done` of `total` steps, and a note for people.

    total: None while the number of steps is not known. ended: whether the task has ended, with
    success or without.
    """

    done: int
    total: int | None
    note: str = ""
    ended: bool = False

    @property
    def fraction(self) -> float:
        """Return the part of the steps that is done, 0.0 to 1.0.

        Returns 1.0 when there is nothing to do, and 0.0 while the total is not known.
        """
        if self.total is None:
            return 0.0
        return self.done / self.total if self.total else 1.0


_ENDED = Progress(1, 1, ended=True)


def read(result: AsyncResult[Any]) -> Progress | None:
    """Return the last progress of the task; None before the first report.

    When the task has ended, the progress says so. Any process that knows the task's id can ask,
    except with the backend `rpc://`: see `follow`.
    """
    # One fetch. With `.state` and then `.info` the task could end between the two fetches.
    return progress_of(result.backend.get_task_meta(result.id))


def follow(result: AsyncResult[Any], timeout: float) -> Iterator[Progress]:
    """Yield the progress of a task, as the task reports it, until the task has ended.

    Only the process that has sent the task can call this. The last value has `ended`; after it
    `result.get()` returns, or raises, at once. Raises celery.exceptions.TimeoutError when the task
    has not ended after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    last = None
    while last is None or not last.ended:
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"task {result.id} did not end within {timeout:g} s: the last progress is {last}"
            )
        for told in _listen(result) if isinstance(result.backend, RPCBackend) else _look(result):
            if told not in (None, last):
                last = told
                yield told


def _look(result: AsyncResult[Any]) -> list[Progress | None]:
    told = read(result)
    if told is None or not told.ended:
        time.sleep(_LOOK)
    return [told]


def _listen(result: AsyncResult[Any]) -> list[Progress | None]:
    """Return the progress that has arrived over `rpc://` within `_LOOK` seconds.

    With `rpc://` a report is a message to the process that has sent the task. The message arrives
    once and cannot be requested again.
    """
    heard: list[Progress | None] = []

    def hear(meta: dict[str, Any]) -> None:
        if meta["task_id"] == result.id:
            heard.append(progress_of(meta))

    with suppress(TimeoutError):
        result.get(timeout=_LOOK, propagate=False, on_message=hear)
        heard.append(_ENDED)
    return heard


def progress_of(meta: dict[str, Any]) -> Progress | None:
    """Return the progress in the result backend's content for a task; None before the first report.

    meta: the answer of Celery's `backend.get_task_meta`.
    """
    if meta["status"] in READY_STATES:
        return _ENDED
    if meta["status"] != STATE:
        return None
    told = meta["result"]
    try:
        return Progress(told["done"], told["total"], told["note"])
    except (KeyError, TypeError):
        # A task may use Celery's `update_state` with this name and fields of its own.
        return None
