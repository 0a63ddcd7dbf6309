"""The thread that looks at the broker.

The thread is apart, so that a broker that hangs makes nothing else wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celery import Celery

from warren.broker.alarms import alarms
from warren.broker.connect import reach
from warren.broker.known_queues import KnownQueues
from warren.broker.name_conflict import LONGEST_PAUSE, NameConflict
from warren.broker.queue_depth import Seen, depths_over, seen_over
from warren.broker.rejected_count import rejected_over
from warren.broker.transport_profiles import LOOK, Kind
from warren.broker.waiting_counts import NOTHING, Waiting, waiting_over
from warren.config import Settings
from warren.errors import Unavailable
from warren.redaction.masker import redact
from warren.status.status_file import now

#: The most looks take of the time, as one part in so many: the embedded broker counts messages by
#: listing directories.
_SHARE = 20


@dataclass(frozen=True)
class Look:
    """The broker as one look has seen it, at `at` (seconds of CLOCK_BOOTTIME)."""

    at: float
    reachable: bool
    reason: str = ""
    alarms: tuple[str, ...] = ()
    queues: dict[str, Seen] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)  # messages by queue without a section
    rejected: int = 0  # the number of dead letters
    waiting: Waiting = NOTHING  # messages that are in no queue of a worker
    same_name: bool = False  # another suite on this broker has this host's name


class BrokerMonitor(threading.Thread):
    """The thread that holds the connections to the broker and keeps `latest`.

    Each look replaces `latest` as a whole. Nothing waits for this thread.
    """

    def __init__(self, settings: Settings, make_app: Callable[[Settings], Celery]) -> None:
        super().__init__(name="broker-status", daemon=True)
        self.settings, self._make_app = settings, make_app
        self.latest: Look | None = None
        self.pause = settings.watchdog.broker_interval  # seconds from one look to the next
        self._stopped = threading.Event()
        self._same_name = NameConflict(f"{settings.app.name}.{settings.host}")
        self._known = KnownQueues(settings.app.state_dir / "queues.json", settings.queues)

    def stop(self) -> None:
        """Tell the thread to end soon. Its connections end with the thread."""
        self._stopped.set()

    def run(self) -> None:
        """Look until the thread is stopped; connect again as often as necessary."""
        app = self._make_app(self.settings)
        while not self._stopped.is_set():
            try:
                self._hold(app)
            except Unavailable as error:
                self.latest = Look(now(), False, redact(str(error)))
            except Exception as error:  # noqa: BLE001
                # A library's own error, not the connection's: the thread must survive it.
                self.latest = Look(now(), False, redact(f"{type(error).__name__}: {error}"))
            self._stopped.wait(self.pause)

    def _removed(self, connection: Any) -> dict[str, int]:
        found = depths_over(connection, self._known.removed)
        for queue in [queue for queue, messages in found.items() if messages is None]:
            self._known.gone(queue)
        return {queue: messages for queue, messages in found.items() if messages}

    def _hold(self, app: Celery) -> None:
        """Look repeatedly over one connection. Raises Unavailable."""
        kind = self.settings.broker.kind
        with (
            reach(app, LOOK, Kind.MONITOR) as connection,
            alarms(app, kind, connection) as raised,
        ):
            begin = True
            while not self._stopped.is_set():
                begun = now()
                twin, begin = self._same_name.seen(connection, begin, begun), False
                found = seen_over(connection, self.settings.queues)
                removed, rejected = (
                    self._removed(connection),
                    rejected_over(connection, self.settings.app.state_dir),
                )
                counted: dict[str, Any] = {
                    "queues": found,
                    "removed": removed,
                    "rejected": rejected,
                }
                counted["waiting"] = waiting_over(connection, self.settings)
                if kind == "redis":
                    # The workers of this host also look each second. But this host may have no live
                    # worker, and its messages wait for the workers of other hosts.
                    connection.default_channel.qos.requeue_left()
                self.latest = Look(begun, True, alarms=raised(), same_name=twin, **counted)
                self.pause = max(self.settings.watchdog.broker_interval, _SHARE * (now() - begun))
                if kind == "rabbitmq":
                    self.pause = min(self.pause, LONGEST_PAUSE)
                self._stopped.wait(self.pause)
