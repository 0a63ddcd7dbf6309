"""The thread that watches the results' server when that server is not the broker.

A task whose result cannot be stored does not end. Without a report about the results' server, a
suite would seem well and do nothing.
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

#: Seconds after which the key that a look writes expires.
_KEPT = 60


@dataclass(frozen=True)
class ResultsLook:
    """The results' server as a look has seen it at `at` (seconds of CLOCK_BOOTTIME).

    last_error: why the server stores no results; empty when it stores results.
    """

    at: float
    last_error: str = ""


class ResultsWatch(threading.Thread):
    """The thread that keeps `latest`. Each look replaces `latest` as a whole.

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
        # The key is named like a result: a user of Redis may have rights for result keys only.
        key = app.backend.get_key_for_task(f"watch-of-{self.settings.host}")
        while not self._stopped.is_set():
            begun = now()
            try:
                # A PING would not do: a server that refuses writes still answers a PING.
                app.backend.client.set(key, "", ex=_KEPT)
                self.latest = ResultsLook(begun)
            except Exception as error:  # noqa: BLE001
                # An error of Redis, of the network or of a library: the thread must survive each of
                # them.
                self.latest = ResultsLook(begun, redact(str(error)) or type(error).__name__)
            self._stopped.wait(self.settings.watchdog.broker_interval)


def is_apart(settings: Settings) -> bool:
    """Return whether results are stored on a server that is not the broker's."""
    results, broker = settings.results.url, settings.broker.url
    if results is None or not results.get_secret_value().startswith(("redis:", "rediss:")):
        return False
    return broker is None or broker.get_secret_value() != results.get_secret_value()
