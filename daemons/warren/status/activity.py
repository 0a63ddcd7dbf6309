"""What the suite does besides its work, such as a reload. Pure.

The texts are for people who wait for its end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from warren.status.status_file import now


@dataclass(frozen=True)
class Doing:
    """One activity.

    what: the activity. since: its begin, in seconds of CLOCK_BOOTTIME. then: the programs that are
    next.
    """

    what: str
    since: float
    then: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """Return the text for STATUS. STATUS must not change each second, so it shows no age."""
        clock = time.strftime(
            "%H:%M:%S", time.localtime(time.time() - max(0.0, now() - self.since))
        )
        return f"{self.what} since {clock}{self._then}"

    @property
    def progress(self) -> str:
        """Return the text, with its age, for a line that is written again and again."""
        return f"{self.what}, for {max(0.0, now() - self.since):.0f} s{self._then}"

    @property
    def _then(self) -> str:
        return f", then {', '.join(self.then)}" if self.then else ""
