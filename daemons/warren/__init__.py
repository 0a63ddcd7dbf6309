"""Warren: a Celery processing queue in production on plain Linux hosts.

This module has the names that authors of tasks import. Each name is loaded at its first use, so
that `warren health` loads none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warren.quotas.client import NoAllowance as NoAllowance
    from warren.quotas.client import quota as quota
    from warren.tasks.held_lock import LockLost as LockLost
    from warren.tasks.lock_contention import Busy as Busy
    from warren.tasks.once import once as once
    from warren.tasks.progress import progress as progress
    from warren.tasks.progress import report_progress as report_progress
    from warren.tasks.published_files import publish_file as publish_file
    from warren.tasks.unique import unique as unique

__all__ = [
    "Busy",
    "LockLost",
    "NoAllowance",
    "once",
    "progress",
    "publish_file",
    "quota",
    "report_progress",
    "unique",
]

#: Each public name and the module that has it.
_NAMES = {
    "Busy": "warren.tasks.lock_contention",
    "LockLost": "warren.tasks.held_lock",
    "NoAllowance": "warren.quotas.client",
    "once": "warren.tasks.once",
    "progress": "warren.tasks.progress",
    "publish_file": "warren.tasks.published_files",
    "quota": "warren.quotas.client",
    "report_progress": "warren.tasks.progress",
    "unique": "warren.tasks.unique",
}


def __getattr__(name: str) -> Any:
    """Return a public name (PEP 562). Raises AttributeError for any other name."""
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, getattr(import_module(_NAMES[name]), name))


def __dir__() -> list[str]:
    """Return all names, also names that no code has used yet."""
    return sorted({*globals(), *__all__})
