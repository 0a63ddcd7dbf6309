"""New settings for a running supervisord: checked, rendered and read, or refused as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warren.config import Settings, accepted_settings, attempt
from warren.errors import CannotWrite, ConfigError, Problem
from warren.logs import setup
from warren.quotas import generation
from warren.status.status_file import now
from warren.supervise.options import Options, unreadable
from warren.supervise.programs import supervisor_files
from warren.supervise.programs.directories import make_directories
from warren.supervise.programs.render import expansions
from warren.supervise.reload.check import Check
from warren.supervise.status.journal import journal


@dataclass(frozen=True)
class Changes:
    """The changes of one reload; the groups are configurations of supervisor."""

    begun: float  # seconds of CLOCK_BOOTTIME: the reload has read every edit before this time
    settings: Settings
    added: list[Any]
    changed: list[Any]
    removed: list[Any]

    def names(self) -> dict[str, list[str]]:
        """Return the names of the groups, for the log."""
        groups = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return {change: [group.name for group in found] for change, found in groups}


class Reload:
    """At most one reload at a time; a request during a reload leads to a second reload."""

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._options = options
        self._check: Check | None = None
        # The settings that are being checked, and the problems that are known already.
        self._read: tuple[Settings | None, list[Problem]] = (None, [])
        self._again = False
        self.begun = 0.0

    @property
    def running(self) -> bool:
        """Return whether a check is running."""
        return self._check is not None or bool(self._read[1])

    def begin(self) -> None:
        """Start the check of the new settings, in parallel with supervisord's loop."""
        if self.running:
            self._again = True
            return
        self.begun = now()
        self._read = settings, _ = attempt(self._settings.directory, self._settings.host)
        if settings is not None:  # else a file could not be read, and `poll` reports that
            self._check = Check(settings)
            self._options.pidhistory[self._check.pid] = self._check

    def poll(self, suite: Any) -> Changes | None:
        """Return the changes, once, when the check has ended without a problem.

        Raises WarrenError when the settings are refused.
        """
        if not self.running:
            return None
        try:
            if self._check is not None and not self._check.poll():
                return None
            settings, problems = self._end()
            if settings is None or problems:
                raise ConfigError(problems)
            # The settings that were checked, and no edit that was written meanwhile.
            changes = self._apply(generation.accepted(settings, self._settings.generation), suite)
            self._settings = changes.settings
            return changes
        except Exception:
            self._end()
            raise
        finally:
            if not self.running and self._again:
                self._again = False
                self.begin()

    def _end(self) -> tuple[Settings | None, list[Problem]]:
        read, self._read, self._check = self._read, (None, []), None
        return read

    def _apply(self, settings: Settings, suite: Any) -> Changes:
        self._refuse_to_move(settings)
        make_directories(settings)
        supervisor_files.place(settings)  # also replaces files that a task has damaged
        self._options.expand(expansions(settings))
        try:
            self._options.process_config(do_usage=False)
            # Last: from now on every daemon that starts reads these settings.
            accepted_settings.write(settings)
        except (ValueError, CannotWrite) as error:
            self._options.restore()
            supervisor_files.place(self._settings)
            self._options.expand(expansions(self._settings))
            if isinstance(error, CannotWrite):
                raise
            # The error is in an operator's own file in supervisor.d.
            raise unreadable(self._options.configfile, error) from None
        self._options.keep()
        app = settings.app
        setup.configure(
            "supervisord", "supervisord", settings.host, app.log_dir, settings.log.level, journal()
        )
        self._options.logger.level = self._options.loglevel
        return Changes(self.begun, settings, *suite.diff_to_active())

    def _refuse_to_move(self, settings: Settings) -> None:
        here, there = self._settings.app.run_dir, settings.app.run_dir
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
