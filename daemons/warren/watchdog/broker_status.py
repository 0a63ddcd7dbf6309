"""The status of broker, queues and quotas, which the quota-watchdog writes to broker.json.

The readers of broker.json must not ask the broker themselves.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from warren.app.factory import plain_app
from warren.broker.queue_depth import Seen
from warren.broker.rejection_limits import MOST
from warren.broker.transport_profiles import LOOK
from warren.config import Settings
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.quotas.ledger import now_ns
from warren.quotas.slot_counts import Counts
from warren.status import broker_file
from warren.status.status_file import now
from warren.watchdog.backlog import Backlog
from warren.watchdog.broker_monitor import BrokerMonitor, Look
from warren.watchdog.quota_levels import crossed
from warren.watchdog.result_store_watch import ResultsLook, ResultsWatch, is_apart
from warren.watchdog.unconsumed_queues import timeout

#: Seconds without a look after which the looking thread counts as stuck: each of its steps takes
#: less.
_STUCK = 5 * LOOK
#: Seconds between two writes when there was no new look at the broker.
PAUSE = 1.0


class BrokerStatus:
    """The status of broker, queues and quotas of one host.

    The watchdog's job `status` writes the file, and never waits for the broker.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._broker = BrokerMonitor(settings, plain_app)
        self._results = ResultsWatch(settings, plain_app) if is_apart(settings) else None
        self._begun, self._written = now(), 0.0
        self._look: Look | None = None
        self._backlogs: dict[str, Backlog] = {}
        self._alarms: tuple[str, ...] = ()
        #: Since when each queue has had messages and no consumer (seconds of CLOCK_BOOTTIME), and
        #: the queues for which this was logged.
        self._unconsumed_since: dict[str, float] = {}
        self._unconsumed_logged: set[str] = set()
        self._same_name_logged = False
        self._removed_logged: frozenset[str] = frozenset()
        self._results_error = ""
        self._broker.start()
        if self._results:
            self._results.start()

    def stop(self) -> None:
        """Tell the threads that look at the broker and at the results' server to stop at their next
        tick.

        broker.json stays, and its age shows what it is worth.
        """
        self._broker.stop()
        if self._results:
            self._results.stop()

    def publish(self, quotas: dict[str, Counts | str]) -> None:
        """Write broker.json, and log what has changed.

        quotas: the counts of each quota, or the reason why they are unknown.

        Writes nothing before the first look at the broker: an unknown status is neither good nor
        bad.
        """
        look = self._latest()
        if look is None:
            return
        if look is not self._look:
            self._follow(look)
        elif now() - self._written < PAUSE:
            return
        self._written = now()
        broker = {
            "kind": self.settings.broker.kind,
            "reachable": look.reachable,
            "reason": look.reason,
        }
        status = {
            "broker": {
                **broker,
                "alarms": look.alarms,
                "asked_at": look.at,
                "same_name": look.same_name,
            },
            "queues": {queue: self._queue(queue, look, quotas) for queue in self.settings.queues},
            "removed_queues": look.removed,
            **look.waiting._asdict(),
            **self._results_status(),
            "rejected": {
                "messages": look.rejected,
                "level": self._rejected_level(look),
                **_full(look),
            },
            "quotas": {name: self._quota(name, counts) for name, counts in quotas.items()},
            "disk": {
                "warning": self.settings.health.disk_warning,
                "critical": self.settings.health.disk_critical,
            },
        }
        # On a full disk the file is not replaced, and its readers see its age.
        with suppress(OSError):
            broker_file.write(self.settings.app.run_dir, self._written, status)

    def _latest(self) -> Look | None:
        look, at = self._broker.latest, now()
        stuck = _stuck(at - (look.at if look else self._begun), self._broker.pause)
        return Look(at, False, stuck) if stuck else look

    def _results_status(self) -> dict[str, Any]:
        """Return whether the results' server stores results; nothing if the broker is this server.

        Each change is logged once.
        """
        if self._results is None:
            return {}
        at = now()
        look = self._results.latest or ResultsLook(self._begun)
        if stuck := _stuck(at - look.at, self.settings.watchdog.broker_interval):
            look = ResultsLook(at, stuck)
        before, self._results_error = self._results_error, look.last_error
        if look.last_error and not before:
            logger().error(
                Event.RESULTS_NOT_STORED,
                reason=look.last_error,
                consequence="workers keep the results of finished tasks, and store them later",
            )
        elif before and not look.last_error:
            logger().info(Event.RESULTS_STORED)
        return {
            "results": {
                "reachable": not look.last_error,
                "reason": look.last_error,
                "asked_at": look.at,
            }
        }

    # -- what changed ------------------------------------------------------------------------------

    def _follow(self, look: Look) -> None:
        """Take in a new look, and log each change once.

        An alarm or an outage that continues is not logged again.
        """
        was_reachable = self._look.reachable if self._look else None
        self._look = look
        if look.reachable != was_reachable:
            if look.reachable:
                logger().info(Event.BROKER_CONNECTED)
            else:
                logger().error(Event.BROKER_UNREACHABLE, reason=look.reason)
        if not look.reachable:
            return  # the alarms and depths are unknown now; that does not mean that they are gone
        for alarm in set(look.alarms) - set(self._alarms):
            logger().error(
                Event.BROKER_ALARM,
                alarm=alarm,
                consequence="the broker takes no message until the alarm is over",
            )
        if self._alarms and not look.alarms:
            logger().info(Event.BROKER_ALARM_CLEARED, alarms=self._alarms)
        self._alarms = look.alarms
        if look.same_name and not self._same_name_logged:
            logger().error(
                Event.HOST_NAME_TAKEN,
                consequence="both suites run with the settings of one host; start one of them with "
                "--host",
            )
        self._same_name_logged = look.same_name
        for queue, seen in look.queues.items():
            self._measure(queue, look.at, seen.messages)
            self._watch_consumers(queue, look.at, seen)
        logged, self._removed_logged = self._removed_logged, frozenset(look.removed)
        for queue in self._removed_logged - logged:
            logger().warning(Event.QUEUE_ABANDONED, queue=queue, messages=look.removed[queue])

    def _measure(self, queue: str, at: float, depth: int | None) -> None:
        health, before = self.settings.health, self._backlogs.get(queue, Backlog())
        after = before.seen(at, depth or 0, health.queue_warning, health.queue_critical)
        self._backlogs[queue] = after
        if crossed(before.level, after.level):
            log, event = (
                (logger().warning, Event.BACKLOG_GROWS)
                if after.level
                else (logger().info, Event.BACKLOG_SHRINKS)
            )
            growth = round(after.forecast.growth_per_s, 3)
            log(event, queue=queue, messages=depth, growth_per_s=growth, critical=after.level == 2)

    def _watch_consumers(self, queue: str, at: float, seen: Seen) -> None:
        """Note since when the queue has messages but no consumer; log a queue that stays so.

        The numbers are the broker's own.
        """
        if not seen.messages or seen.consumers != 0:
            self._unconsumed_since.pop(queue, None)
            self._unconsumed_logged.discard(queue)
        elif (
            at - self._unconsumed_since.setdefault(queue, at) >= timeout(self.settings, queue)
            and queue not in self._unconsumed_logged
        ):
            self._unconsumed_logged.add(queue)
            logger().warning(
                Event.QUEUE_UNCONSUMED,
                queue=queue,
                messages=seen.messages,
                since_s=round(at - self._unconsumed_since[queue], 1),
            )

    def _rejected_level(self, look: Look) -> int:
        most = self.settings.health.rejected_warning
        return int(bool(most) and look.rejected >= most)

    # -- the file ----------------------------------------------------------------------------------

    def _queue(self, queue: str, look: Look, quotas: dict[str, Counts | str]) -> dict[str, Any]:
        backlog = self._backlogs.get(queue)
        if backlog is None or not look.reachable:
            return {
                "messages": None,
                "growth_per_s": 0.0,
                "empty_in_s": None,
                "level": 0,
                "unconsumed": False,
            }
        seen, unconsumed = backlog.forecast, queue in self._unconsumed_logged
        messages = look.queues[queue].messages if queue in look.queues else None
        return {
            "messages": messages,
            "growth_per_s": round(seen.growth_per_s, 3),
            "recent_per_s": round(seen.recent_per_s, 3),
            "empty_in_s": None if seen.empty_in_s is None else round(seen.empty_in_s, 1),
            "quota_empty_in_s": self._by_quota(queue, messages or 0, quotas),
            "level": max(backlog.level, int(unconsumed)),
            "unconsumed": unconsumed,
        }

    def _by_quota(self, queue: str, messages: int, quotas: dict[str, Counts | str]) -> float | None:
        """Return the seconds until this host's quotas have let so many messages through.

        Returns None for a queue without a quota.
        """
        found = []
        for name, quota in self.settings.quotas.items():
            counts = quotas.get(name)
            if isinstance(counts, Counts) and queue in {
                self.settings.queue_of(task) for task in quota.tasks
            }:
                found.append(
                    max(0, messages - counts.free) * quota.limit.seconds / quota.limit.calls
                )
        return round(max(found), 1) if found else None

    def _quota(self, name: str, counts: Counts | str) -> dict[str, Any]:
        if isinstance(counts, str):
            return {"error": counts}
        wait = counts.wait_s(now_ns())
        return {
            **asdict(counts),
            "used": counts.used,
            "next_free_s": wait if wait is None else round(wait, 3),
            "level": int(100 * counts.free < self.settings.health.quota_warning * counts.limit),
        }


def _stuck(silence: float, pause: float) -> str:
    """Return why a thread that pauses for `pause` seconds counts as stuck.

    silence: seconds since the last look of the thread. Returns an empty text while the silence is
    allowed.
    """
    return f"no answer for {silence:.0f} s" if silence > _STUCK + 2 * pause else ""


def _full(look: Look) -> dict[str, bool]:
    """Return `full` when the oldest rejected messages are dropped because there are too many."""
    return {"full": True} if look.rejected >= MOST else {}
