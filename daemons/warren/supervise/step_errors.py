"""Unforeseen errors in a tick of supervisord's loop.

An error costs the step in which it happened, not the suite.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from warren.logs.events import Event
from warren.logs.setup import logger

#: Seconds between two log lines about a step that fails in each tick.
_PAUSE = 60.0
#: This many failures without a complete tick between them are no accident: the suite then ends with
#: the exit code 70, and systemd starts it again.
_TRIES = 10
_BETWEEN = 0.1


class Steps:
    """Takes the steps of a tick one by one. An error in one step does not stop the next one."""

    def __init__(self) -> None:
        self._logged: dict[str, float] = {}
        self._ticks = 0

    def take(self, name: str, step: Callable[[], object]) -> None:
        """Take one step. Raises nothing."""
        try:
            step()
        except Exception:  # noqa: BLE001 - the working daemons are worth more than this step
            self._log(name)

    def turned(self) -> None:
        """Note that a tick is complete."""
        self._ticks += 1

    def loop(self, endless: Callable[[], None], end: type[Exception]) -> None:
        """Call `endless`, which is supervisord's endless loop. When it raises an error, call it
        again.

        Raises `end`, by which the loop ends cleanly. After too many errors without a complete tick
        between them, raises the last error.
        """
        failures, ticks = 0, self._ticks
        while True:
            try:
                return endless()
            except end:
                raise
            except Exception:
                failures, ticks = (1 if self._ticks > ticks else failures + 1), self._ticks
                if failures >= _TRIES:
                    raise
                self._log("loop")
                time.sleep(_BETWEEN)  # the loop has not waited, and must not use a whole processor

    def _log(self, name: str) -> None:
        now = time.monotonic()
        if now - self._logged.get(name, float("-inf")) >= _PAUSE:
            self._logged[name] = now
            logger().exception(Event.SUPERVISION_FAILED, step=name)
