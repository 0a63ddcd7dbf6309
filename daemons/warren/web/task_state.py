"""The state of a task as a client sees it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from celery import Celery
from celery.states import READY_STATES, SUCCESS

from warren.errors import Unavailable
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.redaction.masker import redact
from warren.system.printable import one_line
from warren.tasks.follow import progress_of
from warren.tasks.result_text import error_text
from warren.web.refusals import Refused

#: The most characters of an id: Celery's have 36.
LONGEST_ID = 255
_SHOWN = 1000  # characters of an error


def checked_id(text: str) -> str:
    """Return the id of a task from a path. Raises Refused for what is no id."""
    if 0 < len(text) <= LONGEST_ID and text.isascii() and text.isprintable() and "/" not in text:
        return text
    detail = f"expected an id of 1 to {LONGEST_ID} printable ASCII characters without '/'"
    raise Refused(HTTPStatus.BAD_REQUEST, detail)


def state(app: Celery, task_id: str) -> dict[str, Any]:
    """Return what the results hold of a task. For a thread. Raises Refused.

    `state` is Celery's; `ended` says whether it changes no more. An id that nobody knows looks like
    that of a task that has not begun: PENDING.
    """
    try:
        meta = app.backend.get_task_meta(task_id)
    except Exception as error:  # noqa: BLE001  each backend has errors of its own
        raise _away(error) from None
    found: dict[str, Any] = {"task_id": task_id, "state": str(meta["status"])}
    found["ended"] = meta["status"] in READY_STATES
    if meta["status"] == SUCCESS:
        found["result"] = meta["result"]
    elif found["ended"]:
        found["error"] = _error(meta["result"])
    elif (progress := progress_of(meta)) is not None:
        found |= {"done": progress.done, "total": progress.total, "note": progress.note}
    return found


def _error(raised: object) -> str:
    """Return the class and the text of the error that a task has ended with, secrets masked."""
    return one_line(redact(error_text(raised)), _SHOWN)


def _away(error: Exception) -> Refused:
    reason = redact(error_text(error))
    logger().error(Event.WEB_FAILED, reason=reason, consequence="no state is told")
    detail = "the results do not answer"
    if not isinstance(error, Unavailable):
        detail += " or cannot be read"
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail, Retry_After="5")
