"""What a task message must look like, when it may run, and how a fresh copy of one goes back to the broker.

Celery takes a message's fields as they come: a list where a name belongs, or a time limit that is a word, ends the whole worker.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kombu import Producer

#: The header in which the worker tells its pool child which slots the task was admitted with.
TICKETS = "warren_tickets"
#: The header that counts how often a process was lost while it ran this task.
LOSSES = "warren_losses"
#: What a copy keeps of a message's properties; the broker makes the others anew.
PROPERTIES = ("correlation_id", "reply_to", "priority")

_TEXTS = ("eta", "expires", "root_id", "parent_id", "group", "reply_to", "correlation_id")


def copy_of(message: Any, **headers: Any) -> dict[str, Any]:
    """The message anew, with these headers added, as a channel's `prepare_message` takes it."""
    kept = {name: value for name, value in message.headers.items() if name not in (TICKETS, "x-delivery-count")}
    properties = {name: message.properties[name] for name in PROPERTIES if message.properties.get(name)}
    return {
        "body": message.body,
        "priority": properties.pop("priority", 0),
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "headers": {**kept, **headers},
        "properties": {"delivery_mode": 2, **properties},
    }


def publish_copy(message: Any, exchange: str, routing_key: str, **headers: Any) -> None:
    """Publishes the message anew with these headers added; its acknowledgement has to follow on the same channel.

    On one channel the broker takes the copy before the acknowledgement: cut off between them, the task is there twice, never not
    at all.
    """
    fields = copy_of(message, **headers)
    Producer(message.channel, auto_declare=False).publish(
        exchange=exchange, routing_key=routing_key, **{**fields, **fields.pop("properties")}
    )


def is_expired(headers: Mapping[str, Any]) -> bool:
    """Whether the task was to run before now; Celery looks again, later, and finds the same."""
    return _seconds_until(headers.get("expires")) < 0


def due_in(headers: Mapping[str, Any]) -> float:
    """Seconds until the task's ETA; 0 or less when it is due, has none, or has one that Celery will refuse."""
    return _seconds_until(headers.get("eta"))


def malformed(message: Any) -> str:
    """What is wrong with a message that names a task in its headers (protocol 2); empty when nothing is.

    A message without such headers, or whose body cannot be decoded, is left to Celery, which handles both.
    """
    headers = message.headers
    if not isinstance(headers, dict) or "task" not in headers:
        return ""
    problem = _headers(headers)
    if problem:
        return problem
    try:
        body = message.payload
    except Exception:  # noqa: BLE001  not JSON, or a type that is refused: Celery says which
        return ""
    return _body(body)


def _headers(headers: dict[str, Any]) -> str:
    for name in ("task", "id"):
        if not isinstance(headers.get(name), str) or not headers[name]:
            return f"expected a text in the header {name}, found {_kind(headers.get(name))}"
    for name in _TEXTS:
        if not isinstance(headers.get(name), str | None):
            return f"expected a text or null in the header {name}, found {_kind(headers[name])}"
    if not _is_timelimit(headers.get("timelimit")):
        return "expected two numbers above 0, or null, in the header timelimit"
    if not isinstance(headers.get("stamps"), dict | None) or not isinstance(headers.get("stamped_headers"), list | tuple | None):
        return "expected an object in the header stamps and a list in stamped_headers"
    return ""


def _is_timelimit(value: Any) -> bool:
    if value is None:
        return True
    pair = isinstance(value, list | tuple) and len(value) == 2
    return pair and all(each is None or (isinstance(each, int | float) and each > 0) for each in value)


def _body(body: Any) -> str:
    if isinstance(body, list | tuple) and len(body) == 3:
        arguments, keywords, embed = body
        if isinstance(arguments, list | tuple) and isinstance(keywords, dict) and isinstance(embed, dict | None):
            return ""
    return "expected a body of a list of arguments, an object of keyword arguments and an object of callbacks"


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__


def _seconds_until(text: Any) -> float:
    """Seconds until a moment in ISO 8601, UTC unless it says otherwise; 0 for what is none."""
    if not isinstance(text, str):
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()
