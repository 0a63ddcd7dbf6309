"""The task by which Celery waits for the parts of a chord.

It always pauses before it looks again, whatever interval the message or a setting gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from celery import Task

from warren.worker.message_copy import FIRST_PAUSE, pause_before

_NAME = "celery.chord_unlock"
#: The longest pause in seconds between two looks, unless a longer interval was asked for. It is
#: Celery's own interval.
LONGEST = 1.0


def guard(tasks: Mapping[str, Task]) -> None:
    """Let no chord keep a process busy with looks at its parts.

    Celery takes its interval from the message, or from the setting `result_chord_retry_interval`.
    With 0 the task would run again at once, for as long as the parts take. An interval of
    FIRST_PAUSE or more stays.
    """
    if (task := tasks.get(_NAME)) is not None:
        task.retry = _with_pause(task, task.retry)


def _with_pause(task: Task, retry: Callable[..., Any]) -> Callable[..., Any]:
    def retry_after_pause(*arguments: Any, countdown: Any = None, **options: Any) -> Any:
        if isinstance(countdown, int | float) and countdown < FIRST_PAUSE:
            countdown = min(LONGEST, pause_before(task.request.retries or 0))
        return retry(*arguments, countdown=countdown, **options)

    return retry_after_pause
