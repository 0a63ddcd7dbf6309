"""How far a long task has come: told by the task, read by whoever waits for it.

@shared_task(bind=True)
def report(self, rows):
    for row in range(rows):
        progress(self, row, rows, "counting")
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from celery import Task
from celery.backends.rpc import RPCBackend
from celery.exceptions import TimeoutError  # noqa: A004  celery's own is what `result.get` raises
from celery.result import AsyncResult
from celery.states import READY_STATES

STATE = "PROGRESS"  # the state that Celery's own documentation and Flower know
_PAUSE = 0.2  # seconds between two reports of one run: a person sees no more, and a hot loop floods no backend

_LOOK = 0.1  # seconds between two looks of who follows a task


@dataclass(frozen=True)
class Progress:
    """`done` of `total` steps, a note for people, and whether the task has ended, well or not."""

    done: int
    total: int
    note: str = ""
    ended: bool = False

    @property
    def fraction(self) -> float:
        """From 0.0 to 1.0; 1.0 where there is nothing to do."""
        return self.done / self.total if self.total else 1.0


_ENDED = Progress(1, 1, ended=True)


def progress(task: Task[..., Any], done: int, total: int, note: str = "") -> bool:
    """Says through the result backend that `done` of `total` steps are done; cheap enough for every turn of a loop.

    The first and the last step are always published, those between at most five times a second; returns whether this
    one was. Does nothing when the task is called as a plain function. Raises ValueError unless 0 <= done <= total.
    """
    if not 0 <= done <= total:
        raise ValueError(f"progress: expected 0 <= done <= total, found done {done} of {total}")
    run: Any = task.request
    if run.id is None:
        return False
    now = time.monotonic()
    if done < total and now < getattr(run, "next_progress", now):  # kept on the run, so it ends with the run
        return False
    run.next_progress = now + _PAUSE
    task.update_state(state=STATE, meta={"done": done, "total": total, "note": note})
    return True


def read(result: AsyncResult[Any]) -> Progress | None:
    """What the task last told, or that it has ended; None while it has told nothing yet.

    Any process can ask that knows the task's id, except with the backend `rpc://`: see `follow`.
    """
    # One fetch, not `.state` and then `.info`: the task may end between the two.
    return _told(result.backend.get_task_meta(result.id))


def follow(result: AsyncResult[Any], timeout: float) -> Iterator[Progress]:
    """What the task tells, as it tells it, until it has ended; for the process that has sent the task.

    The last one has `ended`; `result.get()` then returns, or raises, at once. Raises celery.exceptions.TimeoutError when
    the task has not ended after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    last = None
    while last is None or not last.ended:
        if time.monotonic() > deadline:
            raise TimeoutError(f"task {result.id}: expected to end within {timeout:g} s, found it at {last}")
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
    """With `rpc://` what a task tells is a message to the process that has sent it: heard once, never asked for."""
    heard: list[Progress | None] = []

    def hear(meta: dict[str, Any]) -> None:
        if meta["task_id"] == result.id:
            heard.append(_told(meta))

    with suppress(TimeoutError):
        result.get(timeout=_LOOK, propagate=False, on_message=hear)
        heard.append(_ENDED)
    return heard


def _told(meta: dict[str, Any]) -> Progress | None:
    if meta["status"] in READY_STATES:
        return _ENDED
    if meta["status"] != STATE:
        return None
    told = meta["result"]
    return Progress(told["done"], told["total"], told["note"])
