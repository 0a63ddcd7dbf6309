"""How the worker rejects a message that it cannot run: once, and with a line in the log.

dead_letters.py says what becomes of the message then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.worker.message_address import source

#: Characters of a reason, id or name that a log line holds.
_SHOWN = 200


def reject(message: Any, reason: str, broker: str, answer: Callable[[], None]) -> None:
    """Reject the message for `reason`, and log it.

    answer: tells the broker that the message is rejected. The line never holds the body, and of the
    headers only id and task.
    """
    headers = message.headers if isinstance(message.headers, dict) else {}
    info = message.delivery_info if isinstance(message.delivery_info, dict) else {}
    key = _shown(info.get("routing_key"))
    logger().error(
        Event.MESSAGE_REJECTED,
        reason=reason if len(reason) <= 2 * _SHOWN else f"{reason[: 2 * _SHOWN]}...",
        task_id=_shown(headers.get("id")),
        task=_shown(headers.get("task")),
        routing_key=key,
        queue=source(message) or None,
        broker=broker,
        bytes=len(message.body or b""),
    )
    if not _unanswered(message, info):
        answer()


def at_its_own_cost(
    run: Callable[[Any], None],
    connection_errors: tuple[type[Exception], ...],
    reject: Callable[[Any, str, Exception], None],
) -> Callable[[Any], None]:
    """Return `run` with a guard: an unforeseen error costs the message, not the worker.

    After such an error the message is rejected. Errors of the connection (`connection_errors`) are
    raised, and Celery connects again.
    """

    def guarded(message: Any) -> None:
        try:
            run(message)
        except connection_errors:
            raise
        except Exception as error:  # noqa: BLE001
            # Otherwise the message was answered, and a second answer would end the connection.
            if not message.acknowledged:
                reject(
                    message,
                    f"expected a message that can be run, found: {type(error).__name__}: {error}",
                    error,
                )

    return guarded


def _shown(value: Any) -> str | None:
    """Return the text as a log line may hold it, cut short.

    Of a value that is not a text, returns only the type.
    """
    if value is None or isinstance(value, str):
        return value[:_SHOWN] if value else value
    return type(value).__name__


def _unanswered(message: Any, info: Mapping[str, Any]) -> bool:
    """Return whether the message came to a consumer that sends no answers (remote control).

    RabbitMQ closes the channel of a client that answers such a message.
    """
    tags = getattr(message.channel, "no_ack_consumers", None)
    return tags is not None and info.get("consumer_tag") in tags
