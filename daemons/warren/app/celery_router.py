"""The router that Celery asks at each call: what the caller chose, else the task's own queue.

`config/queue_of_task.py` says which queue that is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warren.app.queues import addressed
from warren.broker.queue_names import EXCHANGE
from warren.config import Settings


def route_of(settings: Settings) -> Callable[..., dict[str, Any] | None]:
    """Return the router that Celery asks for each task.

    The router returns the options of the task; None when the caller has chosen the route.
    """

    def route(
        name: str, args: Any, kwargs: Any, options: dict[str, Any], **_: Any
    ) -> dict[str, Any] | None:
        if options.get("queue"):
            return None  # the call names a queue, which has its own routing key
        if options.get("routing_key") and options.get("exchange") in (None, EXCHANGE):
            return addressed(settings, options["routing_key"])
        own = settings.queue_of(name)
        return {"queue": own, "routing_key": settings.queues[own].binding_key}

    return route
