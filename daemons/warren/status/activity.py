"""The activity of the suite beside its work, for people who wait for its end. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass

from warren.status.status_file import now


@dataclass(frozen=True)
class Doing:
    """One activity: what happens, since when (seconds of CLOCK_BOOTTIME), and the next programs."""

    what: str
    since: float
    then: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """Return the text for STATUS, which must not change each second."""
        clock = time.strftime(
            "%H:%M:%S", time.localtime(time.time() - max(0.0, now() - self.since))
        )
        return f"{self.what} since {clock}{self._then}"

    @property
    def progress(self) -> str:
        """Return the text for a line that is written again and again."""
        return f"{self.what}, for {max(0.0, now() - self.since):.0f} s{self._then}"

    @property
    def _then(self) -> str:
        return f", then {', '.join(self.then)}" if self.then else ""
