"""`warren call`: sends a task by its name, from anywhere where the settings are."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

import click
from celery.exceptions import TimeoutError as ResultTimeout

from warren.app import make_app
from warren.broker.reach import reach
from warren.config import load
from warren.errors import ExitCode


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@click.command()
@click.argument("task")
@click.argument("arguments", nargs=-1)
@click.option("--kwargs", default="{}", metavar="JSON", help="Keyword arguments, as a JSON object.")
@click.option("--queue", default=None, help="Queue to send to; by default the queue of the task.")
@click.option("--wait", type=float, default=None, metavar="SECONDS", help="Wait so long for the result and print it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def call(
    context: click.Context,
    task: str,
    arguments: tuple[str, ...],
    kwargs: str,
    queue: str | None,
    wait: float | None,
    as_json: bool,
) -> None:
    """Send TASK with ARGUMENTS (each JSON, or a text) and print its id.

    The task's code need not be here: it is sent by its name.

    Exit codes: 0 sent (with --wait: succeeded), 1 the task failed or took longer, 69 the broker did not take it.

    Example: warren call warren.demo.add 2 2 --wait 10
    """
    named = _value(kwargs)
    if not isinstance(named, dict):
        raise click.BadParameter(f"expected a JSON object such as '{{\"n\": 1}}', found {kwargs!r}", param_hint="--kwargs")
    app = make_app(load(**context.obj))
    options = {"queue": queue} if queue else {}
    with reach(app) as connection:
        values = [_value(text) for text in arguments]
        result = app.send_task(task, values, named, connection=connection, retry=False, **options)
    said: dict[str, Any] = {"task_id": result.id, "task": task}
    if wait is not None:
        with suppress(ResultTimeout):
            result.get(timeout=wait, propagate=False)
        said |= {"state": result.state, "result": result.result if result.successful() else str(result.result or "") or None}
    click.echo(json.dumps(said) if as_json else "  ".join(str(value) for value in said.values()))
    sys.exit(ExitCode.OK if wait is None or result.successful() else ExitCode.FAILURE)
