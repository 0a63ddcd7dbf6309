"""The web daemon: `warren web`."""

from __future__ import annotations

import threading
import time

from celery.result import denied_join_result

from warren.app.factory import import_tasks, make_app
from warren.app.project_environment import set_variables
from warren.config import Settings
from warren.config.affected_daemons import affects_web
from warren.errors import ExitCode, WarrenError
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.runtime.daemon import Daemon
from warren.web.clients import Clients
from warren.web.downloads import Links
from warren.web.entrance import Entrance
from warren.web.known_keys import KnownKeys
from warren.web.listener import Listener, bound
from warren.web.routes import application
from warren.web.sending_threads import Sender

#: Seconds between two steps.
STEP = 1.0
#: Seconds between two lines about requests without a valid token.
_TOLD_EVERY = 60.0
#: Seconds that the server's loop may take to do a call; more, and the heartbeat is left out.
_ANSWER = 5.0


class Web:
    """The one HTTP entrance of this host."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.daemon = Daemon(settings, "web", "web")
        self.code = ExitCode.OK
        self._tell_at = 0.0

    def start(self) -> ExitCode:
        """Run until the daemon is told to stop; return the exit code."""
        self.daemon.start()
        set_variables(self.settings)
        self.entrance = self._entrance()
        self.daemon.regain()
        self.listener = Listener(application(self.entrance), bound(self.settings.web.listen))
        self.listener.start()
        logger().info(Event.READY, listen=str(self.settings.web.listen))
        # The daemon reads results, and waits for none: Celery would subscribe to each of them.
        with denied_join_result():
            self.daemon.loop(self._step, lambda: STEP)
        self.entrance.stopping = True
        self.listener.stop()
        self._tell_refused()
        self.entrance.sender.close()
        self.entrance.keys.close()
        return self.daemon.stop(self.code)

    def _entrance(self) -> Entrance:
        settings = self.settings
        app = make_app(settings)
        import_tasks(app, settings)
        web = settings.web
        keys = KnownKeys(settings.app.state_dir / "web" / "keys.sqlite")
        links = Links(settings.app.state_dir, web.link_lifetime)
        clients = Clients(settings.web_tokens, web.rate)
        return Entrance(web, app, clients, Sender(app), keys, links)

    def _step(self) -> None:
        if self.daemon.dumping:
            self.daemon.dump(
                threads=threading.active_count(), streams=self.entrance.streams.total()
            )
        if self.daemon.reloading:
            self.daemon.reload(self._apply)
        if self.listener.answers(_ANSWER):
            self.daemon.heartbeat.write("ready")
        if time.monotonic() >= self._tell_at:
            self._tell_refused()

    def _tell_refused(self) -> None:
        """Log the number of requests without a valid token: a line for each would be a flood."""
        clients = self.entrance.clients
        if clients.refused:
            logger().warning(Event.WEB_REFUSED, requests=clients.refused)
            clients.refused, self._tell_at = 0, time.monotonic() + _TOLD_EVERY

    def _apply(self, settings: Settings) -> None:
        before, self.settings = self.settings, settings
        if affects_web(before, settings):
            logger().info(Event.RELOADED, consequence="web starts again")
            self.code, self.daemon.stopping = ExitCode.RESTART, True
            return
        self.listener.call(lambda: self._take_up(settings))
        self.daemon.took(settings)
        logger().info(Event.RELOADED)

    def _take_up(self, settings: Settings) -> None:
        self.entrance.web = settings.web
        self.entrance.links.lifetime = settings.web.link_lifetime
        self.entrance.clients = Clients(settings.web_tokens, settings.web.rate)


def start(settings: Settings) -> ExitCode:
    """Run the HTTP entrance of this host. Raises WarrenError."""
    if settings.web.token_file is None:
        raise WarrenError("[web] token_file: expected a file with tokens, found none; name one")
    return Web(settings).start()
