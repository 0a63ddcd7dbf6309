"""How deeply lists and objects lie in what somebody else has sent."""

from __future__ import annotations

from typing import Any

#: Levels that are taken in headers, properties or body. Celery's callbacks take three a link.
DEEPEST = 200


def is_shallow(value: Any) -> bool:
    """Return whether lists and objects lie at most DEEPEST levels deep in it. Never recursive.

    Such values are pickled, quoted and encoded, each time with a recursion that has an end.
    """
    level, depth = [value] if isinstance(value, dict | list | tuple) else [], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            return False
        parts = (each.values() if isinstance(each, dict) else each for each in level)
        level = [inner for part in parts for inner in part if isinstance(inner, dict | list | tuple)]
    return True


def may_be_deep(text: str | bytes) -> bool:
    """Return whether JSON has brackets enough to lie deeper. It costs a glance, and most have few."""
    if isinstance(text, str):
        return text.count("[") + text.count("{") > DEEPEST
    return text.count(b"[") + text.count(b"{") > DEEPEST
