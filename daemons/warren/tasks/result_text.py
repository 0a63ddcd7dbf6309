"""The result of a task as text: JSON for programs, and an error in one line for people."""

from __future__ import annotations

import json
import math
from typing import Any

from warren.logs.formatter import safe_text


def json_of(value: Any) -> str:
    """Return JSON on one line.

    A value that JSON does not have, such as a date or NaN, becomes its text, as in the log.
    """
    try:
        return json.dumps(value, default=safe_text, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), default=safe_text, allow_nan=False)


def error_text(error: object) -> str:
    """Return the class of an error and its message."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  str() of an error class of a task module may fail
        return safe_text(error)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
