"""A reboot: what the ledger of an earlier boot says of the slots in use at that time.

The caller holds the lock and rebuilds the lists.
"""

from __future__ import annotations

from warren.quotas.headers import LONGEST_PAUSE
from warren.quotas.layout import Head, Slot, State
from warren.quotas.ledger_file import boot_word
from warren.quotas.slots import Slots

#: How far the wall clock of another boot is trusted (ns). The clock drifts, and after a boot it is
#: set only when the network is there.
MARGIN = 60 * 10**9


def take_over(slots: Slots, window: int, longest_call: int, now: int, wall: int) -> bool:
    """Make a ledger of an earlier boot this boot's; return False when the ledger is of this boot.

    window, longest_call: ns, of the coming settings. now: ns of CLOCK_BOOTTIME. wall: ns since the
    epoch, as far as this host knows.

    Slots that were in use then cool for a full window from now. After a power cut the file may be
    older than the last calls. But HIGH_WATER was on disk before the slots were used, so as many
    slots cool as the mark counts, whichever slots they were. Leaves BUSY set.
    """
    words = slots.words
    if words[Head.BOOT] == boot_word():
        return False
    capacity = int(words[Head.CAPACITY])
    unknown = max(slots.in_service - int(words[Head.FREE_COUNT]), int(words[Head.HIGH_WATER]))
    if words[Head.BUSY] or window > words[Head.WINDOW]:
        # Either the lists are unsure, or a longer window counts calls whose slots were free again.
        # The times of such calls are not known.
        unknown = capacity
    until = (
        now
        + max(window, int(words[Head.WINDOW]))
        + max(longest_call, int(words[Head.LONGEST_CALL]))
    )
    # BUSY is stored first and BOOT last. When the process is killed in between, the next start
    # finds the lists unsure and lets every slot cool.
    words[Head.BUSY] = 1
    serving = max(unknown, slots.in_service)
    for slot in range(capacity):
        # The other slots have cooled by now. They must not look cooled before now: a window that is
        # made longer later would reach their calls.
        slots.put(slot, Slot.UNTIL, until if slot < unknown else now)
        slots.put(slot, Slot.STATE, State.RESTING if slot < serving else State.RETIRED)
    if words[Head.FORGOTTEN]:
        words[Head.FORGOTTEN] = until
    words[Head.CLOSED_UNTIL] = now + _pause_left(
        int(words[Head.PAUSED_AT]), int(words[Head.PAUSED_FOR]), wall
    )
    words[Head.BOOT] = boot_word()
    return True


def _pause_left(began: int, length: int, wall: int) -> int:
    """Return how much of the provider's pause is left (ns), rather too much than too little.

    By a clock that says that the pause has not begun, all of the pause is left.
    """
    gone = max(0, wall - began - MARGIN)
    return max(0, min(length, int(LONGEST_PAUSE * 10**9)) - gone)
