"""How the worker rejects a message that it cannot run: once, and with a line in the log.

The embedded broker keeps a rejected message in a folder; RabbitMQ gives it to a dead-letter exchange
where its queue has one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from warren.events import Event
from warren.log import get

_logger = logging.getLogger(__name__)
#: Characters of a reason, id or name that a log line holds.
_SHOWN = 200


def reject(message: Any, reason: str, queues: Mapping[str, str], broker: str, trouble: tuple[type[BaseException], ...]) -> None:
    """Reject the message for `reason`. `queues` are names by binding key; `trouble` the connection's errors.

    The line never holds the body or a header other than id and task.
    """
    headers = message.headers if isinstance(message.headers, dict) else {}
    info = message.delivery_info if isinstance(message.delivery_info, dict) else {}
    key = _shown(info.get("routing_key"))
    get().error(
        Event.MESSAGE_REJECTED,
        reason=reason if len(reason) <= 2 * _SHOWN else f"{reason[: 2 * _SHOWN]}...",
        task_id=_shown(headers.get("id")),
        task=_shown(headers.get("task")),
        routing_key=key,
        queue=queues.get(str(key)),
        broker=broker,
        bytes=len(message.body or b""),
    )
    if not _unanswered(message, info):
        message.reject_log_error(_logger, trouble)


def _shown(value: Any) -> str | None:
    """Return the text as a log line may hold it: short; of anything else only what it is."""
    if value is None or isinstance(value, str):
        return value[:_SHOWN] if value else value
    return type(value).__name__


def _unanswered(message: Any, info: Mapping[str, Any]) -> bool:
    """Return whether the message came to a consumer without answers (remote control).

    RabbitMQ closes the channel of who answers all the same.
    """
    tags = getattr(message.channel, "no_ack_consumers", None)
    return tags is not None and info.get("consumer_tag") in tags
