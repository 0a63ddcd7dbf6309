"""`warren call`: sends a task by its name, from any host that has the settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from datetime import datetime
from typing import Any

import click
from celery import Celery
from celery.exceptions import BackendError, ImproperlyConfigured
from kombu.exceptions import KombuError

from warren.app.factory import import_tasks, make_app, plain_app
from warren.app.project_environment import set_variables
from warren.app.project_routes import Misrouted
from warren.app.queues import queues_of
from warren.broker.connect import reach
from warren.broker.unroutable import NoRoute
from warren.cli.import_notice import TIMEOUT, importing
from warren.cli.parameter_types import Moment, Wait
from warren.cli.privileges import Verb
from warren.cli.user import may_write_state
from warren.cli.wait_for_result import Unreadable, outcome, show, why
from warren.config import Settings, load, values
from warren.config.units import Unexpected, json_value
from warren.errors import ConfigError, ExitCode, Problem, Unavailable
from warren.redaction.masker import redact
from warren.system.printable import printable
from warren.tasks.result_text import error_text

#: Options of [app] whose problems say that task code could not be imported.
_UNIMPORTED = ("modules", "celery")
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
    begin with a dash behind --, as in: warren call --wait 10s shop.add -- -1 2. With [app] celery
    the host needs the project's code to know the queue, unless --queue or --routing-key is given.

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
    app, problems = _sender(settings, context.params)
    options = _options(context.params)
    positional = [_value(text) for text in arguments]
    with told(app, settings):
        with reach(app) as connection:
            result = app.send_task(
                task, positional, named, connection=connection, retry=False, **options
            )
        if problems is None:
            app, problems = _with_tasks(app, settings, wait)
        if doubt := _doubt(app, settings, task, problems):
            click.echo(printable(doubt), err=True)
        done, said = outcome(result, wait)
    said = {"task_id": result.id, "task": task, **said}
    show(said, as_json)
    if wait is not None and not done:
        where = _queue(app, settings, context.params, (task, positional, named))
        click.echo(printable(why(app, task, where, said, wait)), err=True)
    sys.exit(ExitCode.OK if wait is None or said["state"] == "SUCCESS" else ExitCode.FAILURE)


def _sender(settings: Settings, given: dict[str, Any]) -> tuple[Celery, Sequence[Problem] | None]:
    """Return the app that sends the task, and the problems of the tasks if it has imported them.

    Raises ConfigError when the project's app is needed and cannot be imported.
    """
    app = plain_app(settings)
    if settings.app.celery is None or given["queue"] or given["routing_key"]:
        return app, None
    # Only the project's app knows its task_routes. Without them the task might go to another queue
    # than delay() sends it to.
    app, problems = _with_tasks(app, settings, given["wait"])
    _refuse_unknown_routes(problems)
    return app, problems


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


def _queue(app: Celery, settings: Settings, given: dict[str, Any], sent: tuple[Any, ...]) -> str:
    """Return the queue that the task was sent to; `sent` is its name and its arguments.

    Returns the first queue when a routing key leads to several queues.
    """
    own = getattr(app.tasks.get(sent[0]), "queue", None)
    asked = {"queue": given["queue"] or own, "routing_key": given["routing_key"]}
    asked = {"routing_key": given["routing_key"]} if given["routing_key"] else asked
    routed = app.amqp.router.route({key: each for key, each in asked.items() if each}, *sent)
    if queue := routed.get("queue"):
        return str(getattr(queue, "name", queue))
    return next(iter(queues_of(settings, routed["routing_key"])), settings.last_queue)


def _with_tasks(
    app: Celery, settings: Settings, wait: float | None
) -> tuple[Celery, Sequence[Problem]]:
    """Import the tasks of this host; return the app that has them, and the problems found."""
    set_variables(settings)
    try:
        # Text that a module prints at its import is not part of this command's output.
        with redirect_stdout(sys.stderr), importing("call", TIMEOUT + (wait or 0.0)) as begins:
            app = make_app(settings, begins) if settings.app.celery else app
            import_tasks(app, settings, begins)
    except ConfigError as error:
        return app, error.problems
    return app, ()


def _refuse_unknown_routes(problems: Sequence[Problem]) -> None:
    """Raise ConfigError when the project's app could not be imported."""
    found = [problem for problem in problems if problem.option in _UNIMPORTED]
    if found:
        remedy = "or name the queue with --queue, as this host cannot read the app's task_routes"
        raise ConfigError(
            [replace(each, remedy=f"{each.remedy}, {remedy}".lstrip(", ")) for each in found]
        )


def _doubt(app: Celery, settings: Settings, task: str, problems: Sequence[Problem]) -> str:
    """Return what to print for a task that none of this host's modules has.

    Empty when this host has no modules, or does not have their code (`problems`).
    """
    if any(problem.option in _UNIMPORTED for problem in problems):
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
    except (Misrouted, NoRoute, Unreadable):
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
            f"cannot use the broker or the results with the options in [broker] and [results]: "
            f"{error_text(error)}; correct the options"
        ) from error
    except (OSError, RuntimeError, KombuError, BackendError, *_errors_of_both(app)) as error:
        raise Unavailable(f"broker or results do not answer: {error_text(error)}") from error
