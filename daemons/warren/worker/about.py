"""What each line has of a task that the worker itself tells of: the same fields as a line of the process that runs it."""

from __future__ import annotations

from typing import Any

from warren.worker.address import source


def about(request: Any) -> dict[str, Any]:
    """Return the fields of a task by its request (request.py), which knows its message."""
    fields = {
        "task_id": request.id,
        "root_id": request.root_id,
        "task": request.task.name,
        "queue": source(request.message) or None,
        "attempt": (request.request_dict.get("retries") or 0) + 1,
    }
    # Of a task that has never begun no other line says who sent it.
    return fields | ({"parent_id": request.parent_id} if request.parent_id else {})
