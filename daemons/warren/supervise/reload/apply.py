"""New settings for a running supervisord: checked, rendered and read, or refused as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from warren.config import Settings, accepted_settings
from warren.errors import CannotWrite, ConfigError, Problem
from warren.logs import setup
from warren.quotas import generation
from warren.supervise.options import Options, unreadable
from warren.supervise.programs import supervisor_files
from warren.supervise.programs.directories import make_directories
from warren.supervise.programs.render import expansions
from warren.supervise.status.journal import journal


@dataclass(frozen=True)
class Changes:
    """The changes of one reload; the groups are configurations of supervisor."""

    settings: Settings
    added: list[Any]
    changed: list[Any]
    removed: list[Any]

    def names(self) -> dict[str, list[str]]:
        """Return the names of the groups, for the log."""
        groups = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return {change: [group.name for group in found] for change, found in groups}


#: The groups that were added, changed or removed since supervisord's groups were last changed.
Differences = Callable[[], tuple[list[Any], list[Any], list[Any]]]


def apply(checked: Settings, old: Settings, options: Options, differences: Differences) -> Changes:
    """Write the settings that were checked. An edit that was made meanwhile is not written.

    Raises WarrenError when the settings are refused. Then everything is as before.
    """
    settings = generation.accepted(checked, old.generation)
    _refuse_to_move(old, settings)
    make_directories(settings)
    supervisor_files.place(settings)  # also replaces files that a task has damaged
    options.expand(expansions(settings))
    try:
        options.process_config(do_usage=False)
        # This comes last: from now on every daemon that starts reads these settings.
        accepted_settings.write(settings)
    except (ValueError, CannotWrite) as error:
        options.restore()
        supervisor_files.place(old)
        options.expand(expansions(old))
        if isinstance(error, CannotWrite):
            raise
        # The error is in an operator's own file in supervisor.d.
        raise unreadable(options.configfile, error) from None
    options.keep()
    app = settings.app
    setup.configure(
        "supervisord", "supervisord", settings.host, app.log_dir, settings.log.level, journal()
    )
    options.logger.level = options.loglevel
    return Changes(settings, *differences())


def _refuse_to_move(old: Settings, settings: Settings) -> None:
    here, there = old.app.run_dir, settings.app.run_dir
    if here != there:
        origin = settings.origin("app", "run_dir")
        expected = f"{here}, which cannot change while the suite runs"
        raise ConfigError(
            [
                Problem(
                    origin,
                    "app",
                    "run_dir",
                    expected,
                    str(there),
                    "stop the suite, then start it",
                )
            ]
        )
