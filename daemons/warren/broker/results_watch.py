"""Looks at the server of the results, where that is another one than the broker, from a thread of its own.

A task whose result cannot be stored waits with it: without a word about that server a suite would seem well and do nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from warren.broker.survey import PATIENCE
from warren.config import Settings
from warren.redaction import redact
from warren.run_file import now

#: Seconds that the key lives which a look leaves.
_KEPT = 60


@dataclass(frozen=True)
class ResultsLook:
    """What was seen of it, at `at` (seconds of CLOCK_BOOTTIME); `trouble` is why it keeps no results, empty when it does."""

    at: float
    trouble: str = ""


class ResultsWatch(threading.Thread):
    """Keeps `latest`, replaced as a whole at each look. Nobody waits for this thread."""

    def __init__(self, settings: Settings, make_app: Callable[[Settings], Any]) -> None:
        super().__init__(name="results-watch", daemon=True)
        self.settings, self._make_app = settings, make_app
        self.latest: ResultsLook | None = None
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Has the thread end soon."""
        self._stopped.set()

    def run(self) -> None:
        """Looks until it is stopped."""
        app = self._make_app(self.settings)
        app.conf.update(redis_socket_timeout=PATIENCE, redis_socket_connect_timeout=PATIENCE)
        # Named as a result is: a user of Redis may have rights for those keys alone.
        key = app.backend.get_key_for_task(f"watch-of-{self.settings.host}")
        while not self._stopped.is_set():
            begun = now()
            try:
                # Written, not asked: a server that takes no writes answers a PING.
                app.backend.client.set(key, "", ex=_KEPT)
                self.latest = ResultsLook(begun)
            except Exception as error:  # noqa: BLE001  Redis', the network's, a library's: the thread must outlive each
                self.latest = ResultsLook(begun, redact(str(error)) or type(error).__name__)
            self._stopped.wait(self.settings.watchdog.survey_interval)


def is_apart(settings: Settings) -> bool:
    """Return whether results are kept on a server that is not the broker's."""
    results, broker = settings.results.url, settings.broker.url
    if results is None or not results.get_secret_value().startswith(("redis:", "rediss:")):
        return False
    return broker is None or broker.get_secret_value() != results.get_secret_value()
