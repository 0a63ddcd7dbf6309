"""`warren call`: sends a task by its name, from any host that has the settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from typing import Any

import click
from celery import Celery
from celery.exceptions import BackendError, ImproperlyConfigured
from kombu.exceptions import KombuError

from warren.app.factory import import_tasks, make_app, plain_app
from warren.app.project_environment import set_variables
from warren.app.queues import queues_of
from warren.broker.connect import reach
from warren.broker.unroutable import NoRoute
from warren.cli.import_notice import TIMEOUT, importing
from warren.cli.parameter_types import Moment, Wait
from warren.cli.privileges import Verb
from warren.cli.user import may_write_state
from warren.cli.wait_for_result import Unreadable, outcome, said_of, show, why
from warren.config import Settings, load, values
from warren.config.units import Unexpected, json_value
from warren.errors import ConfigError, ExitCode, Unavailable
from warren.redaction.masker import redact
from warren.system.printable import printable

#: The errors that libraries raise for unusable options of the broker or the results.
_BROKEN = (ValueError, TypeError, KeyError, ImproperlyConfigured)


@click.command(cls=Verb)
@click.argument("task")
@click.argument("arguments", nargs=-1)
@click.option("--kwargs", default="{}", metavar="JSON", help="Keyword arguments, as a JSON object.")
@click.option(
    "--queue",
    default=None,
    metavar="NAME",
    help="Queue to send to; by default the queue of the task.",
)
@click.option(
    "--routing-key",
    default=None,
    metavar="KEY",
    help="Routing key to send to, instead of a queue.",
)
@click.option(
    "--countdown",
    type=Wait(),
    metavar="DURATION",
    help="Run the task after this time (10, 10s, 2m), not at once.",
)
@click.option(
    "--eta",
    type=Moment(),
    metavar="TIME",
    help="Run the task at this time: ISO 8601 with a zone, such as 2030-01-31T06:00:00Z.",
)
@click.option(
    "--wait",
    type=Wait(),
    metavar="DURATION",
    help="Wait this long (10, 10s, 2m) for the result and print it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def call(
    context: click.Context,
    task: str,
    arguments: tuple[str, ...],
    kwargs: str,
    queue: str | None,
    routing_key: str | None,
    countdown: float | None,
    eta: datetime | None,
    wait: float | None,
    as_json: bool,
) -> None:
    """Send TASK with ARGUMENTS (each JSON, or a text) and print the id of the task.

    The task's code need not be on this host: the task is sent by its name. When none of this host's
    [app] modules has the name, the task is sent as well, with a note on stderr. Put arguments that
    begin with a dash behind --, as in: warren call --wait 10s shop.add -- -1 2

    Exit codes: 0 sent (with --wait: succeeded), 1 the task failed or took longer, 65 its result
    cannot be read, 69 the broker did not take the task.

    Example: warren call warren.demo.add 2 2 --wait 10s
    """
    named = _keywords(kwargs)
    _check_task(task)
    _check_address(context.params)
    settings = load(**context.obj)
    _check_queue(settings, queue)
    if settings.broker.kind == "embedded":
        may_write_state(settings.app.state_dir)
    app = plain_app(settings)
    options = _options(context.params)
    with told(app, settings):
        with reach(app) as connection:
            positional = [_value(text) for text in arguments]
            result = app.send_task(
                task, positional, named, connection=connection, retry=False, **options
            )
        if doubt := _doubt(app, settings, task, wait):
            click.echo(printable(doubt), err=True)
        done, said = outcome(result, wait)
    said = {"task_id": result.id, "task": task, **said}
    show(said, as_json)
    if wait is not None and not done:
        where = _queue(settings, task, queue, routing_key)
        click.echo(printable(why(app, task, where, said, wait)), err=True)
    sys.exit(ExitCode.OK if wait is None or said["state"] == "SUCCESS" else ExitCode.FAILURE)


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options with which the task is sent."""
    names = ("queue", "routing_key", "countdown", "eta")
    chosen = {name: given[name] for name in names if given[name] is not None}
    # Each result has a queue of its own, and without a reader the queue stays until it expires.
    return chosen if given["wait"] is not None else {**chosen, "ignore_result": True}


def _keywords(text: str) -> dict[str, Any]:
    """Return the keyword arguments of --kwargs. Fails with a usage error."""
    named = _value(text)
    if not isinstance(named, dict):
        raise click.BadParameter(
            f"expected a JSON object such as '{{\"n\": 1}}', found {text!r}", param_hint="--kwargs"
        )
    return named


def _check_task(name: str) -> None:
    """Fail with a usage error for a text that is not a task name."""
    try:
        values.task(name)
    except Unexpected as error:
        raise click.BadParameter(str(error), param_hint="TASK") from None


def _check_address(given: dict[str, Any]) -> None:
    """Fail with a usage error for contradictory options, and for an empty or wrong routing key."""
    for one, other in (("queue", "routing_key"), ("countdown", "eta")):
        if given[one] is not None and given[other] is not None:
            raise click.UsageError(
                f"expected one of --{one} and --{other.replace('_', '-')}, found both"
            )
    if given["routing_key"] is not None:
        try:
            if not values.routing_key(given["routing_key"]):
                raise Unexpected("a routing key", "nothing")
        except Unexpected as error:
            raise click.BadParameter(str(error), param_hint="--routing-key") from None


def _check_queue(settings: Settings, queue: str | None) -> None:
    """Fail with a usage error for a queue that the settings do not have."""
    if queue is not None and queue not in settings.queues:
        hint = values.nearest(queue, settings.queues)
        found = f"expected a declared queue, found {queue!r}{'; ' if hint else ''}{hint}"
        raise click.BadParameter(found, param_hint="--queue")


def _queue(settings: Settings, task: str, queue: str | None, routing_key: str | None) -> str:
    """Return the queue that the task was sent to, by the settings.

    Returns the first queue when a routing key leads to several queues.
    """
    by_key = queues_of(settings, routing_key) if routing_key else []
    return next(iter(by_key), queue or settings.queue_of(task))


def _doubt(app: Celery, settings: Settings, task: str, wait: float | None = None) -> str:
    """Return the note for a task that none of this host's modules has.

    Returns an empty text when a module has the task, and when this host has no modules or lacks
    their code.
    """
    set_variables(settings)
    try:
        # A module may print text at its import, and that text is not output of this command.
        with redirect_stdout(sys.stderr), importing("call", TIMEOUT + (wait or 0.0)) as begins:
            app = make_app(settings, begins) if settings.app.celery else app
            import_tasks(app, settings, begins)
    except ConfigError as error:
        if any(problem.option in ("modules", "celery") for problem in error.problems):
            return ""
    if not (settings.app.modules or settings.app.celery) or task in app.tasks:
        return ""
    hint = values.nearest(task, [name for name in app.tasks if not name.startswith("celery.")])
    found = (
        f"{task}: expected a task of [app] modules, found none of that name; the task was sent "
        "all the same, because another host may have it"
    )
    return f"{found}; {hint}" if hint else found


def _value(text: str) -> Any:
    """Return the value of the text if the text is JSON, else the text itself."""
    try:
        return json_value(text)
    except Unexpected:
        return text


def _errors_of_both(app: Celery) -> tuple[type[Exception], ...]:
    connection = app.connection_for_write()
    return (
        *connection.connection_errors,
        *connection.channel_errors,
        *getattr(app.backend, "connection_errors", ()),
    )


@contextmanager
def told(app: Celery, settings: Settings) -> Iterator[None]:
    """Convert errors of broker and results to Unavailable.

    The error names the origin of the broker's URL.
    """
    try:
        yield
    except (NoRoute, Unreadable):
        raise
    except Unavailable as error:
        connection = app.connection_for_write()
        # kombu's own text masks a password that is not there, and takes the password of a URL
        # without a user for the user.
        told = str(error).replace(
            connection.as_uri(), redact(connection.as_uri(include_password=True))
        )
        option = "url_file" if settings.broker.url_file else "url"
        origin = settings.origin("broker", option)
        raise Unavailable(
            f"{origin}: [broker] {option}: {told}" if origin.file else told
        ) from error
    except _BROKEN as error:
        raise Unavailable(
            f"broker and results cannot be used with these options: {said_of(error)}; see [broker]"
        ) from error
    except (OSError, RuntimeError, KombuError, BackendError, *_errors_of_both(app)) as error:
        raise Unavailable(f"broker or results do not answer: {said_of(error)}") from error
