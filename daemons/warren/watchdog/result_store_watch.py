"""The watch over the results' server, where that is not the broker: a thread of its own.

A task whose result cannot be stored waits with it: without a report about that server a suite would
seem well and do nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from warren.broker.transport_profiles import Kind, use_for_results
from warren.config import Settings
from warren.redaction.masker import redact
from warren.status.status_file import now

#: Seconds after which the key of a look expires.
_KEPT = 60


@dataclass(frozen=True)
class ResultsLook:
    """What a look has seen at `at` (seconds of CLOCK_BOOTTIME).

    `last_error` is the reason why the server stores no results; empty when it does.
    """

    at: float
    last_error: str = ""


class ResultsWatch(threading.Thread):
    """The thread that keeps `latest`, which is replaced as a whole at each look.

    Nothing waits for this thread.
    """

    def __init__(self, settings: Settings, make_app: Callable[[Settings], Any]) -> None:
        super().__init__(name="results-watch", daemon=True)
        self.settings, self._make_app = settings, make_app
        self.latest: ResultsLook | None = None
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Tell the thread to end soon."""
        self._stopped.set()

    def run(self) -> None:
        """Look until the thread is stopped."""
        app = self._make_app(self.settings)
        use_for_results(app, Kind.MONITOR)
        # Named like a result: a user of Redis may have rights for those keys only.
        key = app.backend.get_key_for_task(f"watch-of-{self.settings.host}")
        while not self._stopped.is_set():
            begun = now()
            try:
                # A write, not a PING: a server that takes no writes answers a PING.
                app.backend.client.set(key, "", ex=_KEPT)
                self.latest = ResultsLook(begun)
            except Exception as error:  # noqa: BLE001
                # An error of Redis, of the network, of a library: the thread must outlive each.
                self.latest = ResultsLook(begun, redact(str(error)) or type(error).__name__)
            self._stopped.wait(self.settings.watchdog.broker_interval)


def is_apart(settings: Settings) -> bool:
    """Return whether results are stored on a server that is not the broker's."""
    results, broker = settings.results.url, settings.broker.url
    if results is None or not results.get_secret_value().startswith(("redis:", "rediss:")):
        return False
    return broker is None or broker.get_secret_value() != results.get_secret_value()
