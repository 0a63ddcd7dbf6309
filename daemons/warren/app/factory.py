"""The Celery app of the settings: every daemon and every command makes its app here."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

from celery import Celery, signals

from warren.app.celery_options import celery_options
from warren.app.celery_router import route_of
from warren.app.project_app import add_path, adopt, project_app, promised, put_in_front
from warren.app.project_routes import lookup
from warren.app.queues import amqp
from warren.broker.rabbitmq.short_countdown import App
from warren.config import Settings, check_modules, check_tasks
from warren.config.advice import MADE_BY
from warren.config.section_checks import check_schedules
from warren.config.task_checks import failure
from warren.errors import ConfigError, Problem

#: The header that holds the time at which the publisher sent the task (seconds, wall clock).
SENT_AT = "warren_sent_at"
#: The header of a message that beat sends for a tick: the id of the tick's task. Two messages with
#: the same id in this header are one task.
TICK = "warren_tick"

#: The task of Celery's own that a schedule may send: it removes results that have expired.
_CLEANUP = "celery.backend_cleanup"


def make_app(settings: Settings, begins: Callable[[str], object] = str) -> Celery:
    """Return the Celery app of these settings. The app has not yet connected to anything.

    With `[app] celery` this is the project's own app, which is imported here. Raises ConfigError.

    begins: called with the name of the app's module before the import.
    """
    if settings.app.celery is None:
        return plain_app(settings)
    app = project_app(settings, begins)
    put_under(app, settings)
    app.set_current()
    app.set_default()
    return app


def put_under(app: Celery, settings: Settings) -> None:
    """Put an app that a project has made under these settings."""
    ours = promised() | _options(settings)
    ours["task_routes"] = (route_of(settings, lookup(settings, app)),)
    put_in_front(app, ours)
    adopt(app, amqp(settings))


def plain_app(settings: Settings) -> Celery:
    """Return an app of Warren's own with these settings, for a process that runs no task.

    The app looks at the broker as the project's app would, without the project's code: an error in
    that code must not keep an operator from looking at the broker. Of the project's app it lacks
    the routes.
    """
    app: Celery = App(settings.app.name, amqp=amqp(settings), set_as_current=True)
    setattr(app, MADE_BY, True)
    app.conf.update(_options(settings))
    return app


def _options(settings: Settings) -> dict[str, Any]:
    """Return all settings of Celery that follow from these settings, for an app in this process."""
    signals.before_task_publish.connect(_stamp, dispatch_uid="warren.app.factory.stamp")
    options = celery_options(settings)
    # The operator's settings of [celery] come last. They cannot break a guarantee of Warren,
    # because the validator has refused such settings. Warren's own transport options stay in force.
    transport = {
        **settings.celery.get("broker_transport_options", {}),
        **options["broker_transport_options"],
    }
    return {
        **options,
        "warren_state_dir": str(settings.app.state_dir),  # for tasks that keep files there
        **settings.celery,
        "broker_transport_options": transport,
    }


def import_tasks(app: Celery, settings: Settings, begins: Callable[[str], object] = str) -> None:
    """Import the task modules, and check the settings against the tasks that the modules register.

    begins: called with the name of each module before its import. Raises ConfigError.
    """
    add_path(settings)
    problems = check_modules(settings, begins)
    if problems:
        raise ConfigError(problems)
    for module in settings.app.modules:
        importlib.import_module(module)
    if settings.app.celery is not None:
        _import_own(app, settings)
    app.finalize()
    registered = [name for name in app.tasks if not name.startswith("celery.")]
    if settings.app.celery is None:
        problems = check_tasks(settings, registered)
    else:
        problems = _check_own(app, settings, registered)
    if problems:
        raise ConfigError(problems)


def _check_own(app: Celery, settings: Settings, registered: list[str]) -> list[Problem]:
    """Return the problems of the settings with the schedule and the routes of the project's app."""
    # These load Celery's beat, which no other app needs.
    from warren.app.project_schedule import with_project_schedule
    from warren.app.route_checks import check_routes

    whole, problems = with_project_schedule(settings, app)
    problems += check_tasks(whole, [*registered, _CLEANUP])
    return [*problems, *check_schedules(whole), *check_routes(settings, app)]


def _import_own(app: Celery, settings: Settings) -> None:
    """Import the modules that a project's app names: include, imports, autodiscover_tasks."""
    try:
        app.loader.import_default_modules()
    # An operator must see any error that a module raises at its import.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        origin = settings.origin("app", "celery")
        expected = f"the modules of {settings.app.celery} to be modules that can be imported"
        raise ConfigError([Problem(origin, "app", "celery", expected, failure(error))]) from None


def _stamp(
    headers: dict[str, Any] | None = None, properties: dict[str, Any] | None = None, **_: Any
) -> None:
    if headers is not None:
        headers[SENT_AT] = time.time()
        # Celery copies a task's headers to its retry, and to messages that Celery sends under an id
        # of its own. Such messages are not ticks.
        headers.pop(TICK, None)
    if properties is not None:
        # RabbitMQ silently drops a message with this property from its queue. The header `expires`
        # says the same, and the worker that takes the message ends the task as revoked.
        properties.pop("expiration", None)
