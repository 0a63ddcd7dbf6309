"""The entries of the schedule, and which of them have ticks that are to be handled now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from heapq import heappop, heappush
from zoneinfo import ZoneInfo

from celery import Celery

from warren.beat.last_ticks import KnownTicks
from warren.beat.pending import PendingAct, begun_behind
from warren.beat.tell import tell_clock
from warren.beat.ticks import GRACE, due, last_tick, next_tick, pause, same_rule, task_id, trusted
from warren.config import ScheduleSettings, Settings

#: Removes results that have expired; Celery brings the task.
CLEANUP = ScheduleSettings(task="celery.backend_cleanup", cron="0 4 * * *")


class Schedule:
    """The enabled entries, and the last tick of each that was handled (`ticks`, seconds since
    the epoch).

    rounds: as `KnownTicks` has them.
    """

    def __init__(self, ticks: dict[str, float], rounds: Mapping[str, int] | None = None) -> None:
        self.ticks = ticks
        #: The enabled entries, by name.
        self.entries: dict[str, ScheduleSettings] = {}
        #: Ticks whose sending has begun, also by an earlier leader: whether the broker has them is
        #: not known.
        self.begun: dict[str, tuple[float, ...]] = {}
        #: Whether the next leader would find other last ticks than these.
        self.unkept = False
        self._name = ""
        self._zone = ZoneInfo("UTC")
        self._rounds: dict[str, int] = dict(rounds or {})
        #: Entries whose last tick was told as missed, and not sent. Those of an earlier leader are
        #: not known.
        self._left_out: set[str] = set()
        #: Last ticks that lie ahead, and were told.
        self._ahead: dict[str, float] = {}
        #: By entry the next tick, and the same in the order of time. The heap may also hold ticks
        #: that are no longer the next ones.
        self._next: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        #: Entries whose next tick is to be searched.
        self._unsearched: set[str] = set()

    @property
    def known(self) -> KnownTicks:
        """The ticks as the next leader must know them."""
        return self.known_with(self.begun)

    def known_with(self, begun: Mapping[str, tuple[float, ...]]) -> KnownTicks:
        """Return the same with other ticks whose sending has begun."""
        return KnownTicks(self.ticks, begun, self._rounds)

    def take_up(self, settings: Settings, app: Celery) -> None:
        """Go by these settings from here on.

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
                # Enabled again, it begins with its next tick: what would have come due meanwhile
                # was not missed.
                self.unkept |= self.ticks.pop(name, None) is not None
            elif (
                name in self.ticks
                and not self.begun.get(name)
                and not same_rule(entry, zone, now, self._zone)
            ):
                # Its ticks before now never came due: they are neither missed nor made up for.
                last = last_tick(now, time.time(), self._zone)
                self.ticks[name] = max(self.ticks[name], last)
                self.unkept = True

    def begin(self, recalled: KnownTicks) -> None:
        """Continue where the last leader was.

        An entry that no leader has seen begins with its next tick: nothing of it was missed.
        """
        now = time.time()
        both = (recalled, self.known)
        for name, entry in self.entries.items():
            # What this beat sent itself counts too: the note of it may not have reached the next
            # leader's store (full disk). The newer round counts first: a tick of an older one may
            # be of a clock that was ahead.
            known = [
                (each.rounds.get(name, 0), each.last[name]) for each in both if name in each.last
            ]
            last = recalled.last.get(name)
            count, tick = max(known) if known else (0, last_tick(entry, now, self._zone))
            self._set(name, tick)
            self.unkept |= last != tick
            if count:
                self._rounds[name] = count
        self.begun = begun_behind(self.ticks, recalled.begun, self.begun)

    def pause(self, longest: float) -> float:
        """Return the seconds until the next tick that was not handled, `longest` at most.

        A tick that came due during a step is due at once.
        """
        self._search()
        while self._heap and not self._is_next(*self._heap[0]):
            heappop(self._heap)
        return pause([tick for tick, _ in self._heap[:1]], time.time(), longest)

    def due_entries(self) -> list[str]:
        """Return the entries that have a tick to handle, the longest waiting one first.

        So none is passed over for good.
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
            # Still its next tick until it is handled, which may be at a later step.
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
        """Note that the tick of the act needs nothing more; taken: the broker has its task."""
        self._set(act.name, act.tick)
        (self._left_out.discard if taken else self._left_out.add)(act.name)

    def _set(self, name: str, tick: float) -> None:
        if self.ticks.get(name) != tick:
            self.ticks[name] = tick
            self._unsearched.add(name)

    def _search(self) -> None:
        """Search the next tick of each entry whose last tick has changed.

        A cron line is not searched at each step: there may be thousands of them.
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
        """Begin the entry again where a clock that was ahead has sent ticks to come.

        Tells of that, or of waiting for such a tick.
        """
        sent = self.ticks[name]
        if sent <= now + GRACE:
            return
        tick = trusted(entry, sent, now, self._zone, early=name not in self._left_out)
        if tick != sent:
            self._set(name, tick)
            # Else a worker would drop each of them, and this beat's successor would take the same
            # ids for the same tasks.
            self._rounds[name] = self._rounds.get(name, 0) + 1
            self.begun.pop(name, None)
            consequence = (
                "ticks from now on are sent, also those that the wrong clock had sent: they are "
                "new tasks"
            )
        elif self._ahead.get(name) != sent:
            self._ahead[name] = sent
            consequence = "that tick and those before it are not sent again"
        else:
            return
        tell_clock(name, sent, now, consequence)


def _enabled(settings: Settings, app: Celery) -> dict[str, ScheduleSettings]:
    """Return the enabled entries, by name."""
    entries = {name: entry for name, entry in settings.schedules.items() if entry.enabled}
    # As Celery's own beat does, for results that do not expire by themselves.
    own = {} if app.backend.supports_autoexpire else {CLEANUP.task: CLEANUP}
    return {**own, **entries}
