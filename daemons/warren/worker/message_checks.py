"""What a task message must look like. Each message is checked before Celery's handler sees it.

No message may end the worker: a malformed message is rejected, with the reason that is found here.
"""

from __future__ import annotations

import time
from typing import Any

from warren.broker.due import FARTHEST
from warren.broker.nesting_depth import DEEPEST, is_shallow, may_be_deep
from warren.broker.timestamps import moment
from warren.worker.header_rules import EMBEDDED, kind, problem_of
from warren.worker.message_copy import TICKETS

#: Warren sends and takes JSON only. Other encodings are also names of Python's codecs, and some of
#: these codecs unpack.
_CONTENT_TYPE = "application/json"
_ENCODINGS = ("utf-8", "utf8", "us-ascii")


def malformed(message: Any) -> str:
    """Return why the message cannot be run; empty when it can, as far as its fields tell.

    The reason never quotes the message, which may hold secrets.
    """
    if refusal := getattr(message, "refusal", ""):
        return str(refusal)
    headers, properties = message.headers, message.properties
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        return "expected headers and properties that are objects"
    if message.content_type != _CONTENT_TYPE:
        return f"expected a body in JSON and nothing else, found {_shown(message.content_type)}"
    if not isinstance(message.content_encoding, str | None):
        return f"expected JSON in UTF-8, found {_shown(message.content_encoding)}"
    if (message.content_encoding or "utf-8").lower() not in _ENCODINGS:
        return f"expected JSON in UTF-8, found {_shown(message.content_encoding)}"
    if "task" not in headers:
        return _without_task(message)
    return problem_of(headers, properties) or _too_far(headers.get("eta")) or _body(message)


def settle(headers: dict[str, Any]) -> None:
    """Write times in the one form that all parsers read alike, and drop Warren's own headers.

    The gate and Celery then read the same value. Slots are named by the gate of this worker:
    tickets that a message brings are never valid.
    """
    for name in ("eta", "expires"):
        if headers.get(name):
            headers[name] = moment(headers[name]).isoformat()
    headers.pop(TICKETS, None)


def _too_far(eta: Any) -> str:
    if eta is None or moment(eta).timestamp() - time.time() <= FARTHEST:
        return ""
    return f"expected an eta within {FARTHEST / 86400:.0f} days, found a later time"


def _without_task(message: Any) -> str:
    try:
        body = message.payload
    # A decoder may raise any error: in each case the message is not a task's message.
    except Exception as error:  # noqa: BLE001
        return _undecodable(error)
    if isinstance(body, dict) and "task" in body:
        return (
            "expected a message of Celery's protocol 2, found protocol 1; send with task_protocol "
            "= 2"
        )
    return "expected a task message (headers task and id), found neither"


def _body(message: Any) -> str:
    try:
        body = message.payload
    except Exception as error:  # noqa: BLE001  as above
        return _undecodable(error)
    if not (isinstance(body, list | tuple) and len(body) == 3):
        return "expected a body of three parts: arguments, keyword arguments and callbacks"
    arguments, keywords, embed = body
    if not (isinstance(arguments, list | tuple) and isinstance(keywords, dict)):
        return "expected a body of a list of arguments and an object of keyword arguments"
    if not _is_embed(embed):
        return f"expected callbacks as Celery sends them ({', '.join(EMBEDDED)})"
    if may_be_deep(
        message.body if isinstance(message.body, str) else bytes(message.body)
    ) and not is_shallow(body):
        return f"expected a body of at most {DEEPEST} levels, found more"
    return ""


def _is_embed(embed: Any) -> bool:
    """Return whether the callbacks have names and types that Celery knows.

    Celery copies them into the task's request, where any other name would replace an attribute.
    """
    if embed is None:
        return True
    if not isinstance(embed, dict) or not set(embed) <= set(EMBEDDED):
        return False
    if not isinstance(embed.get("chord"), dict | None):
        return False
    lists = [embed.get(name) for name in ("callbacks", "errbacks", "chain")]
    return all(
        each is None
        or (isinstance(each, list) and all(isinstance(part, dict | str) for part in each))
        for each in lists
    )


def _undecodable(error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, RecursionError):
        return f"expected a body of at most {DEEPEST} levels, found more"
    return f"expected a JSON body, found {type(cause).__name__}"


def _shown(value: Any) -> str:
    return repr(value[:60]) if isinstance(value, str) and value.isprintable() else kind(value)
