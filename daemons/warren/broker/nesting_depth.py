"""The depth of nested lists and objects in content from other senders."""

from __future__ import annotations

from typing import Any

#: The most levels of headers, properties or body. Celery's callbacks take three levels for each
#: link.
DEEPEST = 200


def is_shallow(value: Any) -> bool:
    """Return whether lists and objects in `value` are nested at most DEEPEST levels deep.

    Does not recurse. Values that pass are pickled, quoted and encoded later, and each of these
    recurses with a limit.
    """
    level, depth = [value] if isinstance(value, dict | list | tuple) else [], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            return False
        parts = (each.values() if isinstance(each, dict) else each for each in level)
        level = [
            inner for part in parts for inner in part if isinstance(inner, dict | list | tuple)
        ]
    return True


def may_be_deep(text: str | bytes) -> bool:
    """Return whether a JSON text has so many brackets that it may be nested too deeply.

    Counting brackets is cheap, and most texts have few.
    """
    if isinstance(text, str):
        return text.count("[") + text.count("{") > DEEPEST
    return text.count(b"[") + text.count(b"{") > DEEPEST
