"""The depth of lists and objects in content from other senders."""

from __future__ import annotations

from typing import Any

#: The most levels of headers, properties or body. Celery's callbacks take three for each link.
DEEPEST = 200


def is_shallow(value: Any) -> bool:
    """Return whether lists and objects in `value` lie at most DEEPEST levels deep. Never recursive.

    Such values are pickled, quoted and encoded later, each time with a recursion that has a limit.
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
    """Return whether JSON has enough brackets to be deeper.

    The count is cheap, and most texts have few brackets.
    """
    if isinstance(text, str):
        return text.count("[") + text.count("{") > DEEPEST
    return text.count(b"[") + text.count(b"{") > DEEPEST
