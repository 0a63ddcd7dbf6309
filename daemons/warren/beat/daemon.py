"""The beat daemon: `warren beat`."""

from __future__ import annotations

from typing import Any

from celery import signals

from warren.app.factory import TICK, import_tasks, make_app
from warren.app.project_environment import set_variables
from warren.beat.leader.leader_interface import leader
from warren.beat.sender import STEP, Sender
from warren.config import Settings
from warren.config.affected_daemons import affects_sending
from warren.errors import ExitCode, Unavailable
from warren.logs.events import Event
from warren.logs.setup import logger, set_level
from warren.redaction.masker import redact
from warren.runtime.daemon import Daemon


class Beat:
    """The one beat of this host."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.daemon = Daemon(settings, "beat", "beat")
        self.leading = False
        self.code = ExitCode.OK

    def start(self) -> ExitCode:
        """Run until the daemon is told to stop; return the exit code."""
        self.daemon.start()
        set_variables(self.settings)
        app = make_app(self.settings)
        import_tasks(app, self.settings)
        self.daemon.regain()
        # after the app's own receiver
        signals.before_task_publish.connect(_mark, dispatch_uid="warren.beat.mark")
        self.sender = Sender(self.settings, app, leader(self.settings, app), {})
        logger().info(Event.READY, entries=sorted(self.sender.schedule.entries))
        self.daemon.loop(self._step, lambda: self.sender.pause() if self.leading else STEP)
        self.sender.leader.resign()
        return self.daemon.stop(self.code)

    def _step(self) -> None:
        if self.daemon.dumping:
            self.daemon.dump(ticks=self.sender.schedule.ticks, leading=self.leading)
        try:
            self._lead()
            if self.leading:
                self.sender.step()
            doing = "ready" if self.leading else "standby"
        except Unavailable as error:
            self.leading = False  # no leadership, no send; the next step asks again
            logger().error(
                Event.TICK_FAILED,
                reason=str(error),
                broker=self._broker,
                consequence="beat tries again",
            )
            doing = "connecting"
        # The reload comes after the step: ticks that were due by the old settings are sent by them.
        if self.daemon.reloading:
            self.daemon.reload(self._apply)
        entries = len(self.sender.schedule.entries)
        self.daemon.heartbeat.write(doing, leading=self.leading, entries=entries)

    def _lead(self) -> None:
        """Take or keep the leadership; a new leader continues where the last leader was.

        Raises Unavailable.
        """
        sender, led = self.sender, self.leading
        self.leading = sender.leader.lead()
        if self.leading and not led:
            sender.begin(sender.leader.recall())
            logger().info(Event.LEADER_TAKEN, ticks=sender.schedule.ticks)
        elif led and not self.leading:
            logger().warning(
                Event.LEADER_LOST,
                consequence="another beat of the fleet sends; this beat stands by",
            )

    @property
    def _broker(self) -> str:
        return redact(self.sender.app.connection_for_write().as_uri(include_password=True))

    def _apply(self, settings: Settings) -> None:
        before, again = self.settings, affects_sending(self.settings, settings)
        if not again and (before.schedules, before.log) == (settings.schedules, settings.log):
            self.settings = settings
            self.daemon.took(settings)
            return
        if again and (
            before.app.celery or settings.app.celery or before.environment != settings.environment
        ):
            # A process has only one app of the project, and the last leader still uses it. The
            # project's code has read the environment at its import.
            logger().info(Event.RELOADED, consequence="beat starts again")
            self.code, self.daemon.stopping = ExitCode.RESTART, True
            return
        app = make_app(settings) if again else self.sender.app
        try:
            import_tasks(app, settings)  # may raise ConfigError: nothing has changed so far
        finally:
            self.daemon.regain()
        set_level(settings.log.level)
        self.settings = settings
        if again:
            self.sender.leader.resign()
            self.sender.take_up(settings)
            known = self.sender.schedule.known
            ticks = self.sender.schedule.ticks
            self.sender = Sender(settings, app, leader(settings, app), ticks, known.rounds)
            self.leading = False
        else:
            self.sender.take_up(settings)
            if self.leading:
                # Unchanged entries continue, under the same leadership.
                self.sender.begin(self.sender.schedule.known)
        self.daemon.took(settings)
        logger().info(Event.RELOADED, entries=sorted(self.sender.schedule.entries))


def _mark(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None:
        headers[TICK] = headers.get("id")  # beat sends nothing but ticks


def start(settings: Settings) -> ExitCode:
    """Run the beat of this host."""
    return Beat(settings).start()
