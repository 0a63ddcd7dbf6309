"""The configuration of one host. It is read from INI files.

The result is frozen typed settings, or all problems. The names of this module are imported at their
first use: the import of pydantic alone costs more CPU time than `warren health` may use. That
command uses this package's reader of INI files and none of its types.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warren.config.loader import attempt as attempt
    from warren.config.loader import in_reading_order as in_reading_order
    from warren.config.loader import load as load
    from warren.config.loader import load_again as load_again
    from warren.config.path_checks import check_directories as check_directories
    from warren.config.path_checks import suite_of_another as suite_of_another
    from warren.config.paths import short_host as short_host
    from warren.config.reader import DEFAULT_DIRECTORY as DEFAULT_DIRECTORY
    from warren.config.schedule_options import ScheduleSettings as ScheduleSettings
    from warren.config.schema import AppSettings as AppSettings
    from warren.config.schema import BeatSettings as BeatSettings
    from warren.config.schema import QueueSettings as QueueSettings
    from warren.config.schema import WatchdogSettings as WatchdogSettings
    from warren.config.schema import WorkerSettings as WorkerSettings
    from warren.config.settings import Settings as Settings
    from warren.config.task_checks import check_modules as check_modules
    from warren.config.task_checks import check_tasks as check_tasks
    from warren.config.units import Rate as Rate

#: For each module of this package, the names that other packages use.
_NAMES = {
    "paths": ("short_host",),
    "loader": ("attempt", "in_reading_order", "load", "load_again"),
    "path_checks": ("check_directories", "suite_of_another"),
    "reader": ("DEFAULT_DIRECTORY",),
    "task_checks": ("check_modules", "check_tasks"),
    "schedule_options": ("ScheduleSettings",),
    "schema": (
        "AppSettings",
        "BeatSettings",
        "QueueSettings",
        "WatchdogSettings",
        "WorkerSettings",
    ),
    "settings": ("Settings",),
    "units": ("Rate",),
}


def __getattr__(name: str) -> Any:
    """Import a name at its first use (PEP 562). Raises AttributeError when the name is unknown."""
    for module, names in _NAMES.items():
        if name in names:
            return globals().setdefault(
                name, getattr(import_module(f"warren.config.{module}"), name)
            )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
