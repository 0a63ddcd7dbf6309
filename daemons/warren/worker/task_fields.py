"""The fields of a log line about a task that the worker itself writes.

They are the same as in a line of the process that runs the task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warren.config import Settings
from warren.worker.message_address import source


def about(request: Any) -> dict[str, Any]:
    """Return the fields of a task by its request (request.py), which knows its message."""
    return about_message(request.message) | {"task_id": request.id, "task": request.task.name}


def about_message(message: Any) -> dict[str, Any]:
    """Return the same fields by a message that was found well formed, before there is a request."""
    headers = message.headers
    fields = {
        "task_id": headers.get("id"),
        "root_id": headers.get("root_id"),
        "task": headers.get("task"),
        "queue": source(message) or None,
        "attempt": (headers.get("retries") or 0) + 1,
    }
    # For a task that has never begun no other line says who sent it.
    return fields | ({"parent_id": headers["parent_id"]} if headers.get("parent_id") else {})


def queue_by_key(settings: Settings) -> Callable[[str, str], str]:
    """Return a function that finds a task's queue by the routing key of its message.

    It finds the queue by the task's name where no queue has that key.
    """
    queues = {queue.binding_key: name for name, queue in settings.queues.items()}
    return lambda routing_key, task: queues.get(routing_key) or settings.queue_of(task)
