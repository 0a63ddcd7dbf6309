"""How far a long task has come: told by the task, read by whoever waits for it.

@shared_task(bind=True)
def report(self, rows):
    for row in range(rows):
        progress(self, row, rows, "counting")
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from celery import Task
from celery.result import AsyncResult
from celery.states import READY_STATES

STATE = "PROGRESS"  # the state that Celery's own documentation and Flower know
_PAUSE = 0.2  # seconds between two reports of one run: a person sees no more, and a hot loop floods no backend


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
    """What the task last told, or that it has ended; None while it has told nothing yet."""
    # One fetch, not `.state` and then `.info`: the task may end between the two.
    meta = result.backend.get_task_meta(result.id)
    if meta["status"] in READY_STATES:
        return Progress(1, 1, ended=True)
    if meta["status"] != STATE:
        return None
    told = meta["result"]
    return Progress(told["done"], told["total"], told["note"])
