"""The entries of the schedule, and the entries that have ticks to handle now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from heapq import heappop, heappush
from zoneinfo import ZoneInfo

from celery import Celery

from warren.app.project_schedule import with_project_schedule
from warren.beat.last_ticks import KnownTicks
from warren.beat.leader_handover import ticks_to_continue_with
from warren.beat.pending_ticks import PendingAct
from warren.beat.tick_log import tell_clock
from warren.beat.ticks import GRACE, due, last_tick, next_tick, pause, same_rule, task_id, trusted
from warren.config import ScheduleSettings, Settings

#: The entry that removes expired results; the task is Celery's own.
CLEANUP = ScheduleSettings(task="celery.backend_cleanup", cron="0 4 * * *")


class Schedule:
    """The enabled entries, and what has happened to their ticks.

    ticks: the last handled tick of each entry, in seconds since the epoch.

    rounds: for each entry how often a clock was ahead (`KnownTicks.rounds`).
    """

    def __init__(self, ticks: dict[str, float], rounds: Mapping[str, int] | None = None) -> None:
        self.ticks = ticks
        #: The enabled entries, by name.
        self.entries: dict[str, ScheduleSettings] = {}
        #: Ticks whose sending has begun, also by an earlier leader. Whether the broker has them is
        #: not known.
        self.begun: dict[str, tuple[float, ...]] = {}
        #: Whether the store of the next leader has other last ticks than `ticks`.
        self.unkept = False
        self._name = ""
        self._zone = ZoneInfo("UTC")
        self._rounds: dict[str, int] = dict(rounds or {})
        #: Entries whose last tick was logged as missed and not sent. What an earlier leader has
        #: left out is not known.
        self._left_out: set[str] = set()
        #: Last ticks that lie in the future and were logged.
        self._ahead: dict[str, float] = {}
        #: The next tick of each entry, and a heap of the same ticks in the order of time. The heap
        #: may also hold ticks that are no longer the next tick of their entry.
        self._next: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        #: Entries whose next tick has to be searched.
        self._unsearched: set[str] = set()

    @property
    def known(self) -> KnownTicks:
        """The ticks as the next leader must know them."""
        return self.known_with(self.begun)

    def known_with(self, begun: Mapping[str, tuple[float, ...]]) -> KnownTicks:
        """Return the known ticks, with `begun` as the ticks whose sending has begun."""
        return KnownTicks(self.ticks, begun, self._rounds)

    def take_up(self, settings: Settings, app: Celery) -> None:
        """Use these settings from here on.

        An entry that now ticks by another rule begins with the next tick of that rule.
        """
        before, self.entries = self.entries, _enabled(settings, app)
        zone, self._zone = self._zone, ZoneInfo(settings.app.timezone)
        self._name = settings.app.name
        self._next.clear()
        self._heap.clear()
        self._unsearched = set(self.entries)
        for name, entry in before.items():
            now = self.entries.get(name)
            if now is None:
                # If the entry is enabled again later, it begins with its next tick: the ticks until
                # then were not missed.
                self.unkept |= self.ticks.pop(name, None) is not None
            elif (
                name in self.ticks
                and not self.begun.get(name)
                and not same_rule(entry, zone, now, self._zone)
            ):
                # By the new rule, earlier ticks never came due: they are neither missed nor made up
                # for.
                last = last_tick(now, time.time(), self._zone)
                self.ticks[name] = max(self.ticks[name], last)
                self.unkept = True

    def begin(self, recalled: KnownTicks) -> None:
        """Continue, as a new leader, where the last leader was (leader_handover.py)."""
        found = ticks_to_continue_with(self.entries, recalled, self.known, time.time(), self._zone)
        for name, tick in found.last.items():
            self.unkept |= recalled.last.get(name) != tick
            self._set(name, tick)
        self._rounds.update(found.rounds)
        self.begun = dict(found.begun)

    def pause(self, longest: float) -> float:
        """Return the seconds until the next tick that was not handled, `longest` at most.

        When a tick came due during a step, returns 0.
        """
        self._search()
        while self._heap and not self._is_next(*self._heap[0]):
            heappop(self._heap)
        return pause([tick for tick, _ in self._heap[:1]], time.time(), longest)

    def due_entries(self) -> list[str]:
        """Return the entries that have a tick to handle; the entry that has waited longest is the
        first.

        With this order no entry is passed over for good.
        """
        now = time.time()
        if max(self.ticks.values(), default=0.0) > now + GRACE:
            for name, entry in self.entries.items():
                self._look_at_clock(name, entry, now)
        self._search()
        found: dict[str, float] = {}
        while self._heap and self._heap[0][0] <= now:
            tick, name = heappop(self._heap)
            if self._is_next(tick, name):
                found[name] = tick
        for name, tick in found.items():
            # The tick stays the entry's next tick until it is handled, perhaps at a later step.
            heappush(self._heap, (tick, name))
        return list(found)

    def acts(self, name: str) -> list[PendingAct]:
        """Return what there is to do for the entry, the oldest tick first."""
        begun = self.begun.get(name, ())
        found = due(self.entries[name], self.ticks[name], time.time(), self._zone, begun)
        acts = [PendingAct(tick, name, self._identity(name, tick), None) for tick in found.ticks]
        if found.gap is None:
            return acts
        made_up = self._identity(name, found.gap.newest) if found.gap.made_up else ""
        told = PendingAct(found.gap.newest, name, made_up, found.gap)
        return [*(act for act in acts if act.tick != told.tick), told]

    def note_handled(self, act: PendingAct, taken: bool) -> None:
        """Note that the tick of the act needs nothing more.

        taken: whether the broker has the task of the tick.
        """
        self._set(act.name, act.tick)
        (self._left_out.discard if taken else self._left_out.add)(act.name)

    def _set(self, name: str, tick: float) -> None:
        if self.ticks.get(name) != tick:
            self.ticks[name] = tick
            self._unsearched.add(name)

    def _search(self) -> None:
        """Search the next tick of each entry whose last tick has changed.

        The other entries are not searched: there may be thousands of cron lines at each step.
        """
        for name in tuple(self._unsearched):
            tick = next_tick(self.entries[name], self.ticks[name], self._zone)
            self._next[name] = tick
            heappush(self._heap, (tick, name))
            self._unsearched.discard(name)

    def _is_next(self, tick: float, name: str) -> bool:
        return self._next.get(name) == tick

    def _identity(self, name: str, tick: float) -> str:
        return task_id(self._name, name, tick, self._rounds.get(name, 0))

    def _look_at_clock(self, name: str, entry: ScheduleSettings, now: float) -> None:
        """Begin the entry again when a clock that was ahead has sent ticks of the future.

        Logs that the entry begins again, or that it waits for such a tick.
        """
        sent = self.ticks[name]
        if sent <= now + GRACE:
            return
        tick = trusted(entry, sent, now, self._zone, early=name not in self._left_out)
        if tick != sent:
            self._set(name, tick)
            # Without a new round a worker would drop each of these ticks, and the next leader would
            # give the same ids to the same ticks.
            self._rounds[name] = self._rounds.get(name, 0) + 1
            self.begun.pop(name, None)
            consequence = (
                "all ticks from now on are sent; a tick that the wrong clock had sent is sent "
                "again, as a new task"
            )
        elif self._ahead.get(name) != sent:
            self._ahead[name] = sent
            consequence = "the ticks up to the last tick are not sent again"
        else:
            return
        tell_clock(name, sent, now, consequence)


def _enabled(settings: Settings, app: Celery) -> dict[str, ScheduleSettings]:
    """Return the enabled entries, by name."""
    whole, _ = with_project_schedule(settings, app)
    entries = {name: entry for name, entry in whole.schedules.items() if entry.enabled}
    # Celery's own beat has this entry, too, for results that do not expire by themselves.
    own = {} if app.backend.supports_autoexpire else {CLEANUP.task: CLEANUP}
    return {**own, **entries}
