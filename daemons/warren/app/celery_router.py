"""The router that Celery asks at each call: what the caller chose, else the task's own queue.

That is the queue that claims the task (`config/queue_of_task.py`), else the queue that a project's
own routes name (`project_routes.py`), else the last queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warren.app.project_routes import Lookup
from warren.app.queues import addressed
from warren.broker.queue_names import EXCHANGE
from warren.config import Settings


def route_of(settings: Settings, own: Lookup | None = None) -> Callable[..., dict[str, Any] | None]:
    """Return the router that Celery asks for each task.

    The router returns the options of the task; None when the caller has chosen the route.
    """

    def route(
        name: str, args: Any, kwargs: Any, options: dict[str, Any], task: Any = None, **_: Any
    ) -> dict[str, Any] | None:
        if options.get("queue"):
            return None  # the call names a queue, which has its own routing key
        if options.get("routing_key") and options.get("exchange") in (None, EXCHANGE):
            return addressed(settings, options["routing_key"])
        queue = settings.claimed_by(name)
        if queue is None and own is not None:
            found = own(name, args, kwargs, options, task)
            if found is not None:
                return found
        queue = queue or settings.last_queue
        return {"queue": queue, "routing_key": settings.queues[queue].binding_key}

    return route
