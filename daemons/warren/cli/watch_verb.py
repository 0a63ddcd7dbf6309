"""`warren watch`: the progress of one task, until the task has ended."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
from celery.backends.rpc import RPCBackend
from celery.result import AsyncResult
from celery.states import READY_STATES

from warren.app.factory import plain_app
from warren.cli.call_verb import told
from warren.cli.parameter_types import Wait
from warren.cli.privileges import Verb
from warren.cli.progress_bar import bar
from warren.cli.wait_for_result import outcome, show
from warren.config import Settings, load
from warren.errors import ExitCode, Unavailable
from warren.system.printable import one_line
from warren.tasks.follow import Progress, progress_of

_LOOK = 0.2  # seconds between two reads: a task reports at most five times a second
#: Seconds within which a result must be readable after its state was announced.
_READ = 10.0
_LONGEST_ID = 1024
#: The states before the end of a task, in words for people.
_MEANING = {
    "PENDING": "not begun yet, or no task has this id",
    "RECEIVED": "taken by a worker",
    "STARTED": "running",
    "RETRY": "waiting for its next attempt",
    "PROGRESS": "running",
}


@click.command(cls=Verb)
@click.argument("task_id", metavar="TASK_ID")
@click.option("--timeout", type=Wait(), metavar="DURATION", help="Give up after this time (2m).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each change.")
@click.pass_context
def watch(context: click.Context, task_id: str, timeout: float | None, as_json: bool) -> None:
    """Show the progress of the task TASK_ID as a bar, and its result at its end.

    A task reports its progress with warren.progress. Without a terminal, a line is printed every
    few seconds. An unknown id looks like the id of a task that has not begun.

    Exit codes: 0 the task succeeded, 1 it failed, was revoked or took longer than --timeout, 65 its
    result cannot be read, 69 the results do not answer, or are not kept.

    Example: warren watch 3f0c2a5e-2a80-4f0e-8d4c-0c5d1d7f4f1a
    """
    if not 0 < len(task_id) <= _LONGEST_ID:
        raise click.BadParameter(
            f"expected an id of 1 to {_LONGEST_ID} characters, found {len(task_id)}",
            param_hint="TASK_ID",
        )
    settings = load(**context.obj)
    app = plain_app(settings)
    with told(app, settings):
        result: AsyncResult[Any] = app.AsyncResult(task_id)
        _refuse_replies(settings, result)
        ended = _show(result, timeout, as_json)
        done, said = outcome(result, _READ) if ended else (False, {})
    if not done:
        limit = timeout or _READ
        told_id = one_line(task_id)
        click.echo(f"not done after {limit:g} s; warren logs --task {told_id}", err=True)
        sys.exit(ExitCode.FAILURE)
    show({"task_id": task_id, **said}, as_json)
    sys.exit(ExitCode.OK if said["state"] == "SUCCESS" else ExitCode.FAILURE)


def _refuse_replies(settings: Settings, result: AsyncResult[Any]) -> None:
    """Raise Unavailable if each result is a message to the process that has sent the task."""
    if isinstance(result.backend, RPCBackend):
        origin = settings.origin("results", "url")
        where = f"{origin}: " if origin.file else ""
        raise Unavailable(
            f"{where}[results] url: results go to the process that has sent the task, and to no "
            "other; set it to a Redis"
        )


def _show(result: AsyncResult[Any], timeout: float | None, as_json: bool) -> bool:
    """Show the task until it ends; return whether it has ended before the timeout."""
    with bar("watch", quiet=as_json) as line:
        for state, progress in _changes(result, timeout):
            if state in READY_STATES:
                return True
            if as_json:
                click.echo(json.dumps(_fields(result.id, state, progress)))
            elif progress is None:
                line.say(_MEANING.get(state, state))
            else:
                line.at(progress.done, progress.total, progress.note)
    return False


def _changes(
    result: AsyncResult[Any], timeout: float | None
) -> Iterator[tuple[str, Progress | None]]:
    """Yield the task's state and progress after each change, until the timeout."""
    deadline = None if timeout is None else time.monotonic() + timeout
    last = None
    while True:
        meta = result.backend.get_task_meta(result.id)
        found = str(meta["status"]), progress_of(meta)
        if found != last:
            last = found
            yield found
        if deadline is not None and time.monotonic() >= deadline:
            return
        time.sleep(_LOOK)


def _fields(task_id: str, state: str, progress: Progress | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"task_id": task_id, "state": state}
    if progress is not None:
        fields |= {"done": progress.done, "total": progress.total, "note": progress.note}
    return fields
