"""The fields of a task in the log lines that the worker itself writes.

A line of the process that runs the task has the same fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warren.config import Settings
from warren.worker.message_address import source


def about(request: Any) -> dict[str, Any]:
    """Return the fields of a task from its request (request.py). The request knows its message."""
    return about_message(request.message) | {"task_id": request.id, "task": request.task.name}


def about_message(message: Any) -> dict[str, Any]:
    """Return the fields of a task from a well-formed message, before there is a request."""
    headers = message.headers
    fields = {
        "task_id": headers.get("id"),
        "root_id": headers.get("root_id"),
        "task": headers.get("task"),
        "queue": source(message) or None,
        "attempt": (headers.get("retries") or 0) + 1,
    }
    # When a task has never begun, no other line says who has sent it.
    return fields | ({"parent_id": headers["parent_id"]} if headers.get("parent_id") else {})


def queue_by_key(settings: Settings) -> Callable[[str, str], str]:
    """Return a function that finds a task's queue by the routing key of its message.

    When no queue has the key, the function finds the queue by the task's name.
    """
    queues = {queue.binding_key: name for name, queue in settings.queues.items()}
    return lambda routing_key, task: queues.get(routing_key) or settings.queue_of(task)
