"""New settings for a running supervisord: checked, rendered, read back; or refused, and nothing has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warren import log
from warren.config import Settings, load
from warren.errors import ConfigError, Problem
from warren.run_file import now
from warren.supervise import files
from warren.supervise.check import Check
from warren.supervise.folders import make_folders
from warren.supervise.journal import journal
from warren.supervise.options import Options, unreadable
from warren.supervise.render import expansions


@dataclass(frozen=True)
class Changes:
    """What a reload brings; the groups are supervisor's configurations."""

    begun: float  # seconds of CLOCK_BOOTTIME: every edit before it was read
    settings: Settings
    added: list[Any]
    changed: list[Any]
    removed: list[Any]

    def names(self) -> dict[str, list[str]]:
        """Of the groups, for the log."""
        groups = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return {word: [group.name for group in found] for word, found in groups}


class Reload:
    """At most one reload at a time; a request that comes in between is served by one that follows."""

    def __init__(self, settings: Settings, options: Options) -> None:
        self._settings = settings
        self._options = options
        self._check: Check | None = None
        self._again = False
        self.begun = 0.0

    @property
    def going_on(self) -> bool:
        """Whether a check is running."""
        return self._check is not None

    def begin(self) -> None:
        """Starts the check of the new settings, which goes on beside supervisord's loop."""
        if self._check is not None:
            self._again = True
            return
        self.begun = now()
        self._check = Check(self._settings.folder, self._settings.host)
        self._options.pidhistory[self._check.pid] = self._check

    def poll(self, suite: Any) -> Changes | None:
        """The changes, once, when the check has ended well. Raises WarrenError when the settings are refused."""
        if self._check is None:
            return None
        try:
            if not self._check.poll():
                return None
            self._check = None
            changes = self._apply(load(self._settings.folder, self._settings.host), suite)
            self._settings = changes.settings
            return changes
        except Exception:
            self._check = None
            raise
        finally:
            if self._check is None and self._again:
                self._again = False
                self.begin()

    def _apply(self, settings: Settings, suite: Any) -> Changes:
        self._refuse_to_move(settings)
        make_folders(settings)
        files.place(settings)  # also where a task has spoilt what was there
        self._options.expand(expansions(settings))
        try:
            self._options.process_config(do_usage=False)
        except ValueError as error:  # an operator's own file in supervisor.d
            self._options.take_back()
            files.place(self._settings)
            self._options.expand(expansions(self._settings))
            raise unreadable(self._options.configfile, error) from None
        self._options.keep()
        app = settings.app
        log.configure("supervisord", "supervisord", settings.host, app.log_dir, settings.log.level, journal())
        self._options.logger.level = self._options.loglevel
        return Changes(self.begun, settings, *suite.diff_to_active())

    def _refuse_to_move(self, settings: Settings) -> None:
        here, there = self._settings.app.run_dir, settings.app.run_dir
        if here != there:
            origin = settings.origin("app", "run_dir")
            expected = f"{here}, which cannot change while the suite runs"
            raise ConfigError([Problem(origin, "app", "run_dir", expected, str(there), "stop the suite, then start it")])
