"""The beat daemon: `warren beat`."""

from __future__ import annotations

import time
from zoneinfo import ZoneInfo

from kombu.exceptions import OperationalError
from kombu.utils.url import maybe_sanitize_url

from warren.app import import_tasks, make_app
from warren.beat.memory import Memory
from warren.beat.ticks import Due, due, last_tick, next_tick, pause, task_id
from warren.config import ScheduleSettings, Settings
from warren.daemon import Daemon
from warren.errors import ExitCode
from warren.events import Event
from warren.log import get, set_level

#: Seconds at most between two turns of the main loop.
TURN = 1.0


class Beat:
    """The one beat of this host."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.daemon = Daemon(settings, "beat", "beat")
        self.memory = Memory(settings.app.state_dir / "beat" / "ticks.json")

    def start(self) -> ExitCode:
        """Runs until it is told to stop; returns the exit code."""
        self.daemon.start()
        self.app = make_app(self.settings)
        import_tasks(self.app, self.settings)
        self._begin_entries()
        get().info(Event.READY, entries=sorted(self._entries()))
        while not (self.daemon.stopping or self.daemon.orphaned):
            self._turn()
            self.daemon.wake.wait(self._pause())
            self.daemon.wake.clear()
        if self.daemon.orphaned:
            get().error(Event.SUPERVISOR_LOST, consequence="this beat ends")
        return self.daemon.stop()

    def _turn(self) -> None:
        if self.daemon.dumping:
            self.daemon.dump(ticks=self.memory.ticks)
        if self.daemon.reloading:
            self.daemon.reload(self._apply)
        sent = [self._tick(name, entry) for name, entry in self._entries().items()]
        self.daemon.heart.beat("ready" if all(sent) else "connecting", ticks=self.memory.ticks)

    def _tick(self, name: str, entry: ScheduleSettings) -> bool:
        """Takes care of the entry's newest tick; False when the broker did not take its task."""
        found = due(entry, self.memory.ticks[name], time.time(), self._zone)
        if found is None:
            return True
        if found.send and not self._send(name, entry, found):
            return False
        # After sending: stopped in between, the tick is sent again and is the same task, by its id. Before, it could be lost.
        try:
            self.memory.keep(name, found.tick)
        except OSError as error:
            get().error(
                Event.CANNOT_WRITE, path=str(self.memory.path), reason=str(error), consequence="a restart may send a tick again"
            )
        if found.missed:
            get().warning(Event.TICK_MISSED, entry=name, tick=found.tick, late_s=round(found.late, 3), sent=found.send)
        return True

    def _send(self, name: str, entry: ScheduleSettings, found: Due) -> bool:
        task = self.app.tasks[entry.task]
        identity = task_id(self.settings.app.name, name, found.tick)
        options = {"queue": entry.queue} if entry.queue else {}
        try:
            task.apply_async(entry.args, entry.kwargs, task_id=identity, retry=False, **options)
        except (OperationalError, OSError) as error:
            get().error(
                Event.TICK_FAILED,
                entry=name,
                tick=found.tick,
                reason=str(error) or type(error).__name__,
                broker=maybe_sanitize_url(self.app.connection_for_write().as_uri()),
                consequence="it is tried again",
            )
            return False
        get().info(Event.TICK_SENT, entry=name, tick=found.tick, late_s=round(found.late, 3), task_id=identity, task=entry.task)
        return True

    # -- entries ---------------------------------------------------------------------------------------------------

    def _entries(self) -> dict[str, ScheduleSettings]:
        return {name: entry for name, entry in self.settings.schedules.items() if entry.enabled}

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.settings.app.timezone)

    def _begin_entries(self) -> None:
        """An entry that was never seen begins with its next tick: nothing of it was missed."""
        now = time.time()
        for name, entry in self._entries().items():
            self.memory.ticks.setdefault(name, last_tick(entry, now, self._zone))

    def _pause(self) -> float:
        now = time.time()
        return pause([next_tick(entry, now, self._zone) for entry in self._entries().values()], now, TURN)

    def _apply(self, settings: Settings) -> None:
        if settings == self.settings:
            return
        app = make_app(settings)
        import_tasks(app, settings)  # may refuse: nothing has changed so far
        set_level(settings.log.level)
        self.settings, self.app = settings, app
        self._begin_entries()
        get().info(Event.RELOADED, entries=sorted(self._entries()))


def start(settings: Settings) -> ExitCode:
    """Runs the beat of this host."""
    return Beat(settings).start()
