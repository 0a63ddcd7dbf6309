"""The wait of `warren call` for the state and the result of its task."""

from __future__ import annotations

from typing import Any

import click
from celery import Celery
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import AsyncResult
from celery.states import PENDING

from warren.broker.queue_depth import depths
from warren.broker.result_validation import UnreadableResult
from warren.errors import ExitCode, Unavailable, WarrenError
from warren.system.printable import printable
from warren.tasks.result_text import error_text, json_of


class Unreadable(WarrenError):
    """A result was found, but cannot be read."""

    exit_code = ExitCode.DATAERR


def outcome(result: AsyncResult[Any], wait: float | None) -> tuple[bool, dict[str, Any]]:
    """Return whether the task is done, and its state and result as far as they are known.

    wait: seconds to wait for the result; None: return at once, without state and result. Raises
    Unreadable.
    """
    if wait is None:
        return False, {}
    try:
        result.get(timeout=wait, propagate=False)
        found = result.result
        if isinstance(found, UnreadableResult):
            raise found
        return True, {
            "state": result.state,
            "result": error_text(found) if isinstance(found, BaseException) else found,
        }
    except ResultTimeout:
        return False, {"state": _state(result), "result": None}
    except UnreadableResult as error:
        raise Unreadable(f"{error}; the worker's log says how the task has ended") from None


def _state(result: AsyncResult[Any]) -> str:
    try:
        return str(result.state)
    except UnreadableResult:
        return str(PENDING)  # the result has just arrived; the next call reports it


def why(app: Celery, task: str, queue: str, said: dict[str, Any], wait: float) -> str:
    """Return one line that says why a task is not done within `wait` seconds, as far as this is
    known.
    """
    state, task_id, known = said["state"], said["task_id"], app.tasks.get(task)
    # Errors are stored even with ignore_result, so the result of a failure would have arrived.
    if app.conf.task_ignore_result if known is None else known.ignore_result:
        return (
            f"no failure within {wait:g} s: a success of {task} leaves no result (ignore_result), "
            "only a line in the worker's log"
        )
    where = {"STARTED": "running", "RETRY": "waiting for its next attempt"}.get(
        state, "still with the broker, running or rejected"
    )
    try:
        waiting = depths(app, [queue])[queue]
    except Unavailable:
        waiting = None
    number = (
        ""
        if waiting is None
        else f", {waiting} {'message waits' if waiting == 1 else 'messages wait'}"
    )
    return (
        f"not done after {wait:g} s: {where} (queue {queue}{number}); warren logs --task {task_id}"
    )


def show(said: dict[str, Any], as_json: bool) -> None:
    """Print the outcome, with control characters escaped: a task may return any text."""
    click.echo(
        json_of(said) if as_json else "  ".join(printable(str(value)) for value in said.values())
    )
