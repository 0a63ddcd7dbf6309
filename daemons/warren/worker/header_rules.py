"""What each header and property of a task message may hold: one rule for each name.

Celery uses these fields without a check. A list in the place of a name, or a word in the place of a
time limit, ends the whole worker; a header named `get` hides the method by which a task finds its
slots.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from celery.app.task import Context

from warren.app.factory import SENT_AT
from warren.broker.nesting_depth import DEEPEST, is_shallow
from warren.broker.timestamps import EXPECTED, moment
from warren.worker.message_copy import CRASHES, RETURNS

#: Bytes of an id: it becomes part of file names, routing keys and log lines.
LONGEST_ID = 200
#: Bytes of a name, which is what AMQP allows a short text.
LONGEST_NAME = 255
#: The parts of a body's third element, as Celery sends them.
EMBEDDED = ("callbacks", "errbacks", "chain", "chord")
#: Numbers beyond this are refused: no valid count and no valid limit in seconds is so large.
MOST = 10**9

#: A header becomes an attribute of the task's request. Headers with these names would hide what
#: Celery or Warren reads from the request.
_HIDING = frozenset(name for name in dir(Context) if callable(getattr(Context, name))) | {
    "is_eager"
}
_HIDING |= {*EMBEDDED, "called_directly", "_children", "_protected"}


def is_text(value: Any, longest: int = LONGEST_NAME) -> bool:
    """Return whether the value is a text of at most so many bytes without control characters."""
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        return False  # Lone surrogates, which cannot be encoded, are not printable either.
    return value.isascii() or len(value.encode()) <= longest


def is_number(value: Any, least: float, most: float) -> bool:
    """Return whether the value is a finite number in that range, and not a boolean."""
    return type(value) in (int, float) and least <= value <= most  # NaN is in no range.


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST


def _is_moment(value: Any) -> bool:
    try:
        return bool(moment(value))
    except (ValueError, TypeError):
        return False


def _is_limits(value: Any) -> bool:
    pair = isinstance(value, list | tuple) and len(value) == 2
    return pair and all(each is None or is_number(each, 0, MOST) for each in value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(is_text(each) for each in value)


Rule = tuple[str, Callable[[Any], bool]]
_ID: Rule = (f"a text of at most {LONGEST_ID} bytes", lambda value: is_text(value, LONGEST_ID))
_NAME: Rule = (f"a text of at most {LONGEST_NAME} bytes", is_text)
_WORDS: Rule = ("a text", lambda value: isinstance(value, str))
_COUNT: Rule = (f"a whole number from 0 to {MOST}", _is_count)
_FLAG: Rule = ("true or false", lambda value: isinstance(value, bool))
_OBJECT: Rule = ("an object", lambda value: isinstance(value, dict))
_MOMENT: Rule = (EXPECTED, _is_moment)

#: Headers that may be missing or null, and what they hold otherwise.
HEADERS: Mapping[str, Rule] = {
    **dict.fromkeys(("root_id", "parent_id", "group"), _ID),
    **dict.fromkeys(("lang", "shadow", "meth", "origin", "reply_to", "correlation_id"), _NAME),
    **dict.fromkeys(("argsrepr", "kwargsrepr"), _WORDS),
    **dict.fromkeys(("retries", "group_index", "replaced_task_nesting", RETURNS), _COUNT),
    **dict.fromkeys(("eta", "expires"), _MOMENT),
    **dict.fromkeys(("stamps", "headers"), _OBJECT),
    "ignore_result": _FLAG,
    "stamped_headers": ("a list of texts", _is_texts),
    "timelimit": ("two numbers from 0 on, or null,", _is_limits),
    CRASHES: (
        "a whole number from 0 to 1000",
        lambda value: type(value) is int and 0 <= value <= 1000,
    ),
    SENT_AT: ("seconds since the epoch", lambda value: is_number(value, 0, 10**11)),
}

#: Properties of the message, likewise. Redis and the embedded broker take any client's JSON.
PROPERTIES: Mapping[str, Rule] = {
    **dict.fromkeys(("correlation_id", "reply_to"), _NAME),
    "priority": (
        "a whole number from 0 to 255",
        lambda value: type(value) is int and 0 <= value <= 255,
    ),
    "delivery_mode": ("1 or 2", lambda value: type(value) is int and value in (1, 2)),
}


def problem_of(headers: Mapping[Any, Any], properties: Mapping[Any, Any]) -> str:
    """Return what is wrong with the fields of a message that names a task; empty if nothing."""
    for name, rule in (("task", _NAME), ("id", _ID)):
        value = headers.get(name)
        if not value or not rule[1](value):
            return f"expected {rule[0]} in the header {name}, found {kind(value)}"
    for name, value in headers.items():
        if name in _HIDING or not isinstance(name, str):
            return f"expected no header named {name if name in _HIDING else kind(name)}"
        if value is not None and (found := _unfit(value, HEADERS.get(name))):
            return f"expected {found} in the header {name[:LONGEST_NAME]!a}, found {kind(value)}"
    for name, value in properties.items():
        # RabbitMQ's properties hold the headers as well.
        if (
            value is not None
            and value is not headers
            and (found := _unfit(value, PROPERTIES.get(name)))
        ):
            return (
                f"expected {found} in the property {str(name)[:LONGEST_NAME]!a}, found "
                f"{kind(value)}"
            )
    return ""


def _unfit(value: Any, rule: Rule | None) -> str:
    """Return what was expected in the place of the value; empty when it fits."""
    if rule is not None and not rule[1](value):
        return rule[0]
    if isinstance(value, dict | list | tuple) and not is_shallow(value):
        return f"at most {DEEPEST} levels"
    return ""


def kind(value: Any) -> str:
    """Return a description of an unexpected value, for a reason.

    The description never holds the value itself.
    """
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"a text of {len(value)} characters" if value else "an empty text"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite"
    return type(value).__name__
