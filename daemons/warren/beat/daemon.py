"""The beat daemon: `warren beat`."""

from __future__ import annotations

import time
from zoneinfo import ZoneInfo

from kombu.exceptions import ChannelError, OperationalError

from warren.app import import_tasks, make_app
from warren.beat.leader import leader
from warren.beat.ticks import Due, due, last_tick, next_tick, pause, task_id, trusted
from warren.broker.not_taken import NotTaken
from warren.config import ScheduleSettings, Settings
from warren.config.concern import concerns_sending
from warren.daemon import Daemon
from warren.errors import ExitCode, Unavailable
from warren.events import Event
from warren.log import get, set_level
from warren.redaction import redact

#: Seconds at most between two turns of the main loop.
TURN = 1.0
#: Removes results that have expired; Celery brings the task.
CLEANUP = ScheduleSettings(task="celery.backend_cleanup", cron="0 4 * * *")


class Beat:
    """The one beat of this host."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.daemon = Daemon(settings, "beat", "beat")
        self.ticks: dict[str, float] = {}
        self.leading = False

    def start(self) -> ExitCode:
        """Runs until it is told to stop; returns the exit code."""
        self.daemon.start()
        self.app = make_app(self.settings)
        import_tasks(self.app, self.settings)
        self.daemon.regain()
        self.leader = leader(self.settings, self.app)
        get().info(Event.READY, entries=sorted(self._entries()))
        self.daemon.loop(self._turn, self._pause)
        self.leader.resign()
        return self.daemon.stop()

    def _turn(self) -> None:
        if self.daemon.dumping:
            self.daemon.dump(ticks=self.ticks, leading=self.leading)
        if self.daemon.reloading:
            self.daemon.reload(self._apply)
        try:
            self._lead()
            for name, entry in self._entries().items() if self.leading else ():
                self._tick(name, entry)
            doing = "ready" if self.leading else "standby"
        except Unavailable as error:
            self.leading = False  # no leadership, no send: it is asked for anew at the next turn
            get().error(Event.TICK_FAILED, reason=str(error), broker=self._broker, consequence="it is tried again")
            doing = "connecting"
        self.daemon.heart.beat(doing, leading=self.leading, entries=sorted(self._entries()))

    # -- leadership --------------------------------------------------------------------------------------------------

    def _lead(self) -> None:
        """Takes or keeps the leadership; a new leader goes on where the last one was. Raises Unavailable."""
        led, self.leading = self.leading, self.leader.lead()
        if self.leading and not led:
            self._begin_entries(self.leader.recall())
            get().info(Event.LEADER_TAKEN, ticks=self.ticks)
        elif led and not self.leading:
            get().warning(Event.LEADER_LOST, consequence="another beat of the fleet sends; this one stands by")

    def _begin_entries(self, recalled: dict[str, float]) -> None:
        """An entry that no leader has seen begins with its next tick: nothing of it was missed."""
        now = time.time()
        for name, entry in self._entries().items():
            # What this beat sent itself counts too: the note of it may not have reached the next leader's place (full disk).
            known = [ticks[name] for ticks in (recalled, self.ticks) if name in ticks]
            self.ticks[name] = max(known) if known else last_tick(entry, now, self._zone)

    # -- ticks -----------------------------------------------------------------------------------------------------

    def _tick(self, name: str, entry: ScheduleSettings) -> None:
        """Takes care of the entry's newest tick. Raises Unavailable."""
        now, sent = time.time(), self.ticks[name]
        self.ticks[name] = trusted(entry, sent, now, self._zone)
        if self.ticks[name] != sent:
            consequence = "ticks from now on are sent, also those that the wrong clock had sent"
            get().warning(Event.CLOCK_SET_BACK, entry=name, tick=sent, ahead_s=round(sent - now, 3), consequence=consequence)
        found = due(entry, self.ticks[name], now, self._zone)
        if found is None:
            return
        identity = self._send(name, entry, found) if found.send else ""
        if found.missed:
            get().warning(Event.TICK_MISSED, entry=name, tick=found.tick, late_s=round(found.late, 3), sent=found.send)
        # After sending: stopped in between, the tick is sent again and is the same task, by its id. Before, it could be lost.
        self.ticks[name] = found.tick
        try:
            self.leader.keep(self.ticks)
        finally:
            if identity:
                told = {"late_s": round(found.late, 3), "task_id": identity, "task": entry.task}
                get().info(Event.TICK_SENT, entry=name, tick=found.tick, **told)

    def _send(self, name: str, entry: ScheduleSettings, found: Due) -> str:
        """Sends the tick's task; its id, or nothing for one that cannot be sent. Raises Unavailable."""
        identity = task_id(self.settings.app.name, name, found.tick)
        options = {**self.leader.options(), **({"queue": entry.queue} if entry.queue else {})}
        try:
            self.app.tasks[entry.task].apply_async(entry.args, entry.kwargs, task_id=identity, retry=False, **options)
        except ChannelError as error:
            self._leave_out(name, found, error)  # this message reaches no queue; the broker itself is well
            return ""
        except NotTaken as error:
            raise Unavailable(f"entry {name}: {error}") from error  # still the leader, and the same id next time
        except (OperationalError, OSError) as error:
            self.leader.resign()
            raise Unavailable(f"entry {name}: {error or type(error).__name__}") from error
        except Exception as error:  # noqa: BLE001  arguments that the task does not take, or that are not JSON
            self._leave_out(name, found, error)
            return ""
        return identity

    def _leave_out(self, name: str, found: Due, error: Exception) -> None:
        """One entry that cannot be sent must not keep the others waiting, nor beat from living."""
        reason = f"{type(error).__name__}: {error}"
        get().error(Event.TICK_FAILED, entry=name, tick=found.tick, reason=reason, consequence="this tick is left out")

    # -- settings --------------------------------------------------------------------------------------------------

    def _entries(self) -> dict[str, ScheduleSettings]:
        entries = {name: entry for name, entry in self.settings.schedules.items() if entry.enabled}
        # As Celery's own beat does, for results that do not expire by themselves.
        own = {} if self.app.backend.supports_autoexpire else {CLEANUP.task: CLEANUP}
        return {**own, **entries}

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.settings.app.timezone)

    @property
    def _broker(self) -> str:
        return redact(self.app.connection_for_write().as_uri(include_password=True))

    def _pause(self) -> float:
        now = time.time()
        return pause([next_tick(entry, now, self._zone) for entry in self._entries().values()], now, TURN)

    def _apply(self, settings: Settings) -> None:
        before, anew = self.settings, concerns_sending(self.settings, settings)
        if not anew and (before.schedules, before.log) == (settings.schedules, settings.log):
            self.settings = settings
            return
        app = make_app(settings) if anew else self.app
        try:
            import_tasks(app, settings)  # may refuse: nothing has changed so far
        finally:
            self.daemon.regain()
        set_level(settings.log.level)
        self.settings = settings
        if anew:
            self.leader.resign()
            self.app, self.leader, self.leading = app, leader(settings, app), False
        elif self.leading:
            self._begin_entries(self.ticks)  # the others go on, under the same leadership
        get().info(Event.RELOADED, entries=sorted(self._entries()))


def start(settings: Settings) -> ExitCode:
    """Runs the beat of this host."""
    return Beat(settings).start()
