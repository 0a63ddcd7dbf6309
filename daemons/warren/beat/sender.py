"""Sends the tasks of what has ticked, and remembers each tick behind it: the acts of a beat that leads."""

from __future__ import annotations

import time
from zoneinfo import ZoneInfo

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from warren.beat.leader import Leader
from warren.beat.ticks import Gap, due, last_tick, next_tick, pause, task_id, trusted
from warren.broker.not_taken import NotTaken
from warren.config import ScheduleSettings, Settings
from warren.errors import Unavailable
from warren.events import Event
from warren.log import get

#: Seconds at most that one turn sends, and between two turns.
TURN = 1.0
#: Removes results that have expired; Celery brings the task.
CLEANUP = ScheduleSettings(task="celery.backend_cleanup", cron="0 4 * * *")


class Sender:
    """The schedule's entries and the last tick of each that was taken care of (`ticks`, seconds since the epoch)."""

    def __init__(self, settings: Settings, app: Celery, leader: Leader, ticks: dict[str, float]) -> None:
        self.app = app
        self.leader = leader
        self.ticks = ticks
        self.take_up(settings)

    def take_up(self, settings: Settings) -> None:
        """Sends by these settings from here on."""
        self._name, self._zone = settings.app.name, ZoneInfo(settings.app.timezone)
        entries = {name: entry for name, entry in settings.schedules.items() if entry.enabled}
        # As Celery's own beat does, for results that do not expire by themselves.
        own = {} if self.app.backend.supports_autoexpire else {CLEANUP.task: CLEANUP}
        #: Those that are enabled, by name.
        self.entries: dict[str, ScheduleSettings] = {**own, **entries}

    def begin(self, recalled: dict[str, float]) -> None:
        """Goes on where the last leader was. An entry that none has seen begins with its next tick: nothing of it was missed."""
        now = time.time()
        for name, entry in self.entries.items():
            # What this beat sent itself counts too: the note of it may not have reached the next leader's place (full disk).
            known = [ticks[name] for ticks in (recalled, self.ticks) if name in ticks]
            self.ticks[name] = max(known) if known else last_tick(entry, now, self._zone)

    def turn(self) -> None:
        """Sends what is due, the oldest ticks first, for TURN at most. Raises Unavailable.

        Behind that the heart beats and the leadership is asked for anew; what is left is due at once.
        """
        end = time.monotonic() + TURN
        found: list[tuple[float, str]] = []
        for name, entry in self.entries.items():
            found += [(tick, name) for tick in self._due(name, entry)]
            if time.monotonic() >= end:
                break
        for tick, name in sorted(found):
            self._remember(name, tick, self._send(name, tick))
            if time.monotonic() >= end:
                return

    def pause(self) -> float:
        """Seconds until the next tick that was not taken care of: one that came due during the turn is due at once."""
        ticks = [next_tick(entry, self.ticks[name], self._zone) for name, entry in self.entries.items()]
        return pause(ticks, time.time(), TURN)

    def _due(self, name: str, entry: ScheduleSettings) -> tuple[float, ...]:
        """Takes care of what was missed of the entry; returns its ticks that are to be sent. Raises Unavailable."""
        now, sent = time.time(), self.ticks[name]
        self.ticks[name] = trusted(entry, sent, now, self._zone)
        if self.ticks[name] != sent:
            consequence = "ticks from now on are sent, also those that the wrong clock had sent"
            get().warning(Event.CLOCK_SET_BACK, entry=name, tick=sent, ahead_s=round(sent - now, 3), consequence=consequence)
        found = due(entry, self.ticks[name], now, self._zone)
        if found.gap is not None:
            self._miss(name, found.gap, now)
        return found.ticks

    def _miss(self, name: str, gap: Gap, now: float) -> None:
        """Makes up for the newest tick of a gap where that is wanted, and tells the gap. Raises Unavailable."""
        identity = self._send(name, gap.newest) if gap.made_up else ""
        # Told before it is remembered: stopped in between it is told twice, rather than not at all.
        told = {"ticks": gap.ticks, "left_out": gap.ticks - gap.made_up, "tick": gap.newest}
        get().warning(Event.TICK_MISSED, entry=name, **told, late_s=round(now - gap.newest, 3), sent=bool(identity))
        self._remember(name, gap.newest, identity)

    def _remember(self, name: str, tick: float, identity: str) -> None:
        # After sending: stopped in between, the tick is sent again and is the same task, by its id. Before, it could be lost.
        self.ticks[name] = tick
        try:
            self.leader.keep(self.ticks)
        finally:
            if identity:
                told = {"late_s": round(time.time() - tick, 3), "task_id": identity, "task": self.entries[name].task}
                get().info(Event.TICK_SENT, entry=name, tick=tick, **told)

    def _send(self, name: str, tick: float) -> str:
        """Sends the tick's task; its id, or nothing for one that cannot be sent. Raises Unavailable."""
        entry, identity = self.entries[name], task_id(self._name, name, tick)
        options = {**self.leader.options(), **({"queue": entry.queue} if entry.queue else {})}
        try:
            self.app.tasks[entry.task].apply_async(entry.args, entry.kwargs, task_id=identity, retry=False, **options)
        except ChannelError as error:
            self._leave_out(name, tick, error)  # this message reaches no queue; the broker itself is well
            return ""
        except NotTaken as error:
            raise Unavailable(f"entry {name}: {error}") from error  # still the leader, and the same id next time
        except (OperationalError, OSError) as error:
            self.leader.resign()
            raise Unavailable(f"entry {name}: {error or type(error).__name__}") from error
        except Exception as error:  # noqa: BLE001  arguments that the task does not take, or that are not JSON
            self._leave_out(name, tick, error)
            return ""
        return identity

    def _leave_out(self, name: str, tick: float, error: Exception) -> None:
        """One entry that cannot be sent must not keep the others waiting, nor beat from living."""
        reason = f"{type(error).__name__}: {error}"
        get().error(Event.TICK_FAILED, entry=name, tick=tick, reason=reason, consequence="this tick is left out")
