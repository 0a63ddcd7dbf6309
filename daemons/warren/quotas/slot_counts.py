"""How many slots of a quota are free, open, cooling and retired."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """The number of slots in each state.

    next_free: when the next cooling slot is free (ns of CLOCK_BOOTTIME); None: no slot cools.
    """

    limit: int
    free: int
    open: int
    cooling: int
    retired: int
    next_free: int | None
    closed_until: int
    admitted: int
    refused: int
    window_s: float = 0.0  # seconds; the window of the settings that the ledger has now

    @property
    def used(self) -> int:
        """The number of slots that a provider may count now: 0 to the highest limit so far."""
        return self.open + self.cooling

    def wait_s(self, now: int) -> float | None:
        """Return the seconds from `now` (ns) until a slot is free; 0.0 when a slot is free now.

        Returns None when all slots are open.
        """
        if not self.free and self.next_free is None:
            return None
        return max(0, max(0 if self.free else self.next_free or 0, self.closed_until) - now) / 1e9
