"""The routes of a project's own app (`task_routes`), between the INI's patterns and its last queue.

Celery's own router reads them. What they lead to has to be a queue of the INI files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from celery import Celery
from celery.app.routes import Router, prepare
from celery.exceptions import QueueNotFound
from kombu import Exchange, Queue

from warren.app.project_app import own_settings
from warren.app.queues import addressed, queues_of
from warren.broker.queue_names import EXCHANGE
from warren.config import Settings, load_again
from warren.config.units import Unexpected, shown
from warren.errors import ConfigError, Unavailable, WarrenError

#: The task, its arguments and options, and the task itself if this process has it.
Lookup = Callable[[str, Any, Any, dict[str, Any], Any], dict[str, Any] | None]


class Misrouted(WarrenError, QueueNotFound):
    """A route of the project's app that leads to no queue of the INI files."""

    def __str__(self) -> str:
        """Return the text alone; a KeyError would quote it."""
        return str(self.args[0])


def lookup(settings: Settings, app: Celery) -> Lookup:
    """Return the function that finds a task's options by the routes of the project's app.

    It returns None for a task that no route names, and raises Misrouted.
    """
    router: list[Router | None] = []

    def found(
        name: str, args: Any, kwargs: Any, options: dict[str, Any], task: Any
    ) -> dict[str, Any] | None:
        if not router:  # not at once: the routes may name a class of a module that imports this app
            own = own_settings(app).get("task_routes")
            router.append(None if own is None else Router(prepare(own), app=app))
        if router[0] is None:
            return None
        route = router[0].lookup_route(name, args, kwargs, options, task)
        return None if route is None else _sent(settings, name, route)

    return found


def _sent(settings: Settings, name: str, route: Any) -> dict[str, Any] | None:
    try:
        return options_of(settings, route)
    except Unexpected as error:
        try:
            # The queue may be newer than this process.
            return options_of(load_again(settings), route)
        except (Unexpected, ConfigError, Unavailable):
            text = f"{name}: task_routes of {settings.app.celery}: expected {error.expected}, found"
            raise Misrouted(f"{text} {error.found}; {remedy_of(error)}") from None


def options_of(settings: Settings, route: Any) -> dict[str, Any] | None:
    """Return the options of the sending that a route means; None: it means nothing.

    Raises Unexpected for what the queues of these settings cannot hold.
    """
    given = _given(route)
    queue, key = given.get("queue"), given.get("routing_key")
    if queue is None:
        if key is None:
            return None
        if not queues_of(settings, str(key)):
            raise Unexpected("a routing key that leads to a queue", shown(str(key)))
        return addressed(settings, str(key))
    queue = queue.name if isinstance(queue, Queue) else str(queue)
    if queue not in settings.queues:
        raise _Undeclared(queue)
    if key is None:
        return {"queue": queue, "routing_key": settings.queues[queue].binding_key}
    if queue not in queues_of(settings, str(key)):
        raise _Unbound(queue, str(key))
    return addressed(settings, str(key))


def _given(route: Any) -> dict[str, Any]:
    """Return what the route says, without what is empty. Raises Unexpected."""
    if isinstance(route, str):
        route = {"queue": route}
    if not isinstance(route, Mapping):
        raise Unexpected(
            "the name of a queue, or a dict such as {'queue': 'NAME'}", f"a {type(route).__name__}"
        )
    given = {key: value for key, value in route.items() if value not in (None, "")}
    others = sorted(map(str, given.keys() - {"queue", "routing_key", "exchange", "exchange_type"}))
    if others:
        raise Unexpected("only queue and routing_key in a route", ", ".join(others))
    exchange, kind = given.get("exchange", EXCHANGE), given.get("exchange_type", "topic")
    exchange = exchange.name if isinstance(exchange, Exchange) else exchange
    if (exchange, kind) != (EXCHANGE, "topic"):
        found = f"{shown(str(exchange))} of type {kind}"
        raise Unexpected(f"a queue, on the topic exchange {EXCHANGE} of all queues", found)
    return given


class _Undeclared(Unexpected):
    def __init__(self, queue: str) -> None:
        super().__init__("a declared queue", shown(queue))
        self.remedy = f"add a section [queue:{queue}], and {queue} to the queues of a worker"


class _Unbound(Unexpected):
    def __init__(self, queue: str, key: str) -> None:
        super().__init__(f"a routing key that leads to the queue {queue}", shown(key))
        self.remedy = f"set binding_key = {key} in [queue:{queue}], or leave routing_key out"


def remedy_of(error: Unexpected) -> str:
    """Return what to do about a route that `options_of` refuses."""
    return str(getattr(error, "remedy", "name a queue alone, as in {'queue': 'mail'}"))
