"""The quota-watchdog daemon: releases slots of dead processes and publishes the status.

It also follows edits of the settings. No call waits for this daemon: while it is stopped, the
limits hold, and only the slots of dead processes stay unused.
"""

from __future__ import annotations

import threading
import time
from dataclasses import asdict

from warren.broker.embedded.recovery import restore_dead
from warren.config import Settings
from warren.config.affected_daemons import affects_watchdog
from warren.errors import ExitCode, WarrenError
from warren.logs.events import Event
from warren.logs.setup import logger, set_level
from warren.quotas.generation import accepted
from warren.quotas.ledger import LedgerBusy
from warren.quotas.ledger_file import LedgerDamaged
from warren.quotas.ledgers import Ledgers
from warren.quotas.slot_counts import Counts
from warren.runtime.daemon import Daemon
from warren.tasks.published_files import remove_old
from warren.watchdog.broker_status import BrokerStatus
from warren.watchdog.jobs import QUOTAS, TICK, Jobs, table
from warren.watchdog.quota_levels import crossed, level

#: Seconds at most that one removal of old files takes: a longer job would end the heartbeat.
_REMOVAL = 0.5


class Watchdog:
    """The quota-watchdog of this host."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings = _numbered(settings)
        self.daemon = Daemon(settings, "quota-watchdog", "quota-watchdog")
        self.ledgers = Ledgers(settings)
        self.levels: dict[str, int] = {}
        # The counts of each quota, or the reason why they are unknown.
        self.counts: dict[str, Counts | str] = {}
        # The problem with the ledger of each quota, as it was logged last.
        self._logged: dict[str, str] = {}
        self._unsettled: set[str] = set()  # quotas whose ledgers do not have the settings yet
        # Two threads write heartbeats: the main loop, and the look at a ledger that has to wait.
        self._writing = threading.Lock()
        self.jobs = Jobs(
            table(
                lambda: self.settings,
                self._look,
                self._restore_messages,
                self._publish,
                self._remove_files,
            ),
            self.daemon.wake,
        )

    def start(self) -> ExitCode:
        """Run until the daemon is told to stop; return the exit code."""
        self.daemon.start()
        self.ledgers.configure()
        self.broker_status = BrokerStatus(self.settings)
        logger().info(Event.READY, quotas=sorted(self.ledgers))
        self.jobs.start()
        self.daemon.loop(self._tick, lambda: min(TICK, self.settings.watchdog.interval))
        self.jobs.stop()
        self.broker_status.stop()
        return self.daemon.stop()

    def _tick(self) -> None:
        if self.daemon.dumping:
            self.daemon.dump(quotas=sorted(self.ledgers), late_jobs=self.jobs.late)
        if self.daemon.reloading:
            with self.jobs.paused():  # the jobs use what a reload replaces
                self.daemon.reload(self._apply)
                self._look()  # gives the next heartbeat the generation of the settings
        if not self.jobs.late:  # the loop never hangs, and must not hide a job that hangs
            self._heartbeat()

    def _heartbeat(self) -> None:
        # The end removes the file. A late look, for which the end does not wait, must not write the
        # file again.
        if self.daemon.stopping:
            return
        with self._writing:
            self.daemon.heartbeat.write(
                "ready", quotas=sorted(self.ledgers), unsettled=sorted(self._unsettled.copy())
            )

    def _publish(self) -> None:
        counts = self.counts.copy()  # the look at the quotas may change the counts meanwhile
        if counts.keys() >= set(self.ledgers):  # otherwise the first look has not ended
            self.broker_status.publish(counts)

    def _look(self) -> None:
        for name in self.ledgers:
            self._watch(name)
        if not self._unsettled:
            self.daemon.took(self.settings)  # every ledger has the generation of the settings

    def _watch(self, name: str) -> None:
        """Look once at one quota."""
        ledger = self.ledgers[name]
        settled = True
        try:
            if name in self._unsettled or not self.ledgers.stands(name):
                settled = self._settle(name)
            reaped = ledger.reap()
            ledger.release_cooled()
            counts = ledger.counts()
        except LedgerBusy as busy:
            self.counts[name] = str(busy)
            if self._is_news(name, str(busy)):
                logger().warning(Event.LEDGER_BUSY, quota=name, reason=str(busy))
            return
        except (LedgerDamaged, FileNotFoundError) as damage:
            self.counts[name] = str(damage)
            self._settle(name)
            return
        except OSError as error:
            why = f"cannot use {ledger.path}: {error.strerror or error}"
            self._cannot(name, f"{why}; check the file's owner and disk")
            return
        self.counts[name] = counts
        if settled:
            self._logged.pop(name, None)
        if reaped:
            logger().warning(
                Event.SLOTS_REAPED,
                quota=name,
                slots=reaped,
                consequence="the slots cool for a window and the longest call",
            )
        self._log_quota_level(name, counts)

    def _settle(self, name: str) -> bool:
        """Make the ledger match the settings, or leave it unchanged until the next look.

        Returns whether the ledger has the settings.
        """
        self._unsettled.add(name)
        try:
            self.ledgers.configure_one(name)
        except (WarrenError, LedgerDamaged) as error:
            self._cannot(name, str(error))
            # The attempt may have waited for a lock, and so may the next attempt. That makes this
            # job late, which is allowed: a heartbeat is written. When another job is late as well,
            # none is written, so that this job does not hide the other job.
            if set(self.jobs.late) <= {QUOTAS}:
                self._heartbeat()
            return False
        self._unsettled.discard(name)
        return True

    def _cannot(self, name: str, reason: str) -> None:
        """Log once why the ledger of a quota cannot be used.

        The other quotas continue. Each look tries this quota again.
        """
        self.counts[name] = reason
        if self._is_news(name, reason):
            logger().error(
                Event.CANNOT_WRITE,
                quota=name,
                reason=reason,
                consequence="the watchdog tries the ledger again at each look",
            )

    def _is_news(self, name: str, reason: str) -> bool:
        before, self._logged[name] = self._logged.get(name), reason
        return before != reason

    def _log_quota_level(self, name: str, counts: Counts) -> None:
        before, now = self.levels.get(name, 0), level(counts.used, counts.limit)
        self.levels[name] = now
        if crossed(before, now):
            logger().info(Event.QUOTA_LEVEL, quota=name, percent=now, **asdict(counts))

    def _remove_files(self) -> None:
        """Remove published files whose time is over: nobody else would."""
        before = time.time() - self.settings.web.file_lifetime
        remove_old(self.settings.app.state_dir, before, _REMOVAL)

    def _restore_messages(self) -> None:
        """Restore the messages of dead workers.

        The embedded broker has no server that would notice a dead worker.
        """
        if not self.settings.broker.embedded:
            return
        try:
            restored = restore_dead(self.settings.app.state_dir / "broker")
        except OSError as error:
            logger().error(Event.CANNOT_WRITE, reason=str(error))
            return
        if restored:
            logger().warning(Event.MESSAGES_RESTORED, messages=restored)

    def _apply(self, settings: Settings) -> None:
        before, self.settings = self.settings, _numbered(settings)
        if not affects_watchdog(before, settings):
            # The ledgers still need the new generation: otherwise older settings could pass for
            # later settings than theirs.
            self.ledgers.settings, self._unsettled = self.settings, set(self.ledgers)
            return
        set_level(settings.log.level)
        self.ledgers.close()
        self.ledgers = Ledgers(self.settings)
        # On a full disk a ledger cannot change. It keeps its old limit and window meanwhile, and
        # limits hold, because both are in the ledger.
        self._unsettled = set()
        for name in self.ledgers:
            self._settle(name)
        self.broker_status.stop()
        self.broker_status, self.counts = BrokerStatus(settings), {}
        logger().info(Event.RELOADED, quotas=sorted(self.ledgers))


def _numbered(settings: Settings) -> Settings:
    """Return the settings with a generation.

    Supervise gives the generation. A watchdog that was started by hand has no supervisor.
    """
    return settings if settings.source else accepted(settings)


def start(settings: Settings) -> ExitCode:
    """Run the quota-watchdog of this host; return the exit code."""
    return Watchdog(settings).start()
