"""Errors that nobody foresaw in a turn of supervisord's loop: they cost the step in which they happened, not the suite."""

from __future__ import annotations

import time
from collections.abc import Callable

from warren.events import Event
from warren.log import get

#: Seconds between two lines about a step that fails in each turn.
_PAUSE = 60.0
#: So many failures without a whole turn between them are no accident: the suite then ends with 70, and systemd starts it again.
_TRIES = 10
_BETWEEN = 0.1


class Steps:
    """Takes the steps of a turn one by one, each whatever became of the one before."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}
        self._turns = 0

    def take(self, name: str, step: Callable[[], object]) -> None:
        """Takes one step. Raises nothing."""
        try:
            step()
        except Exception:  # noqa: BLE001 - the daemons at work are worth more than this step
            self._say(name)

    def turned(self) -> None:
        """A whole turn was made."""
        self._turns += 1

    def loop(self, turning: Callable[[], None], end: type[Exception]) -> None:
        """Calls `turning`, supervisord's endless loop, again when it raises.

        Raises `end`, which is how the loop ends in order, and any error that leaves no whole turn between it and those before.
        """
        failures, turns = 0, self._turns
        while True:
            try:
                return turning()
            except end:
                raise
            except Exception:
                failures, turns = (1 if self._turns > turns else failures + 1), self._turns
                if failures >= _TRIES:
                    raise
                self._say("loop")
                time.sleep(_BETWEEN)  # nothing was waited for: the loop must not take a whole processor

    def _say(self, name: str) -> None:
        now = time.monotonic()
        if now - self._said.get(name, float("-inf")) >= _PAUSE:
            self._said[name] = now
            get().exception(Event.SUPERVISION_FAILED, step=name)
