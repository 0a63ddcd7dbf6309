"""A reboot: what the ledger of an earlier boot says of the slots that were in use then.

The caller holds the lock and rebuilds the lists.
"""

from __future__ import annotations

from warren.quotas.headers import LONGEST_PAUSE
from warren.quotas.layout import Head, Slot, State
from warren.quotas.ledger_file import boot_word
from warren.quotas.slots import Slots

#: How far the wall clock of another boot is trusted (ns): it drifts, and after a boot it is set
#: only when the network is there.
MARGIN = 60 * 10**9


def take_over(slots: Slots, window: int, longest_call: int, now: int, wall: int) -> bool:
    """Make a ledger of an earlier boot this boot's; return False when it is this boot's already.

    window, longest_call: ns, of the coming settings. now: ns of CLOCK_BOOTTIME. wall: ns since the
    epoch, as far as this host knows.

    What was in use then cools for a full window from now. After a power cut the file may be older
    than the last calls, but HIGH_WATER was on disk before that many slots were in use: as many
    slots cool, whichever they were. Leaves BUSY set.
    """
    words = slots.words
    if words[Head.BOOT] == boot_word():
        return False
    capacity = int(words[Head.CAPACITY])
    unknown = max(slots.in_service - int(words[Head.FREE_COUNT]), int(words[Head.HIGH_WATER]))
    if words[Head.BUSY] or window > words[Head.WINDOW]:
        # The lists are unsure, or a longer window counts calls of slots that were free again: when
        # those calls were is not known.
        unknown = capacity
    until = (
        now
        + max(window, int(words[Head.WINDOW]))
        + max(longest_call, int(words[Head.LONGEST_CALL]))
    )
    # BUSY first and BOOT last: killed in between, the next start finds the lists unsure and lets
    # every slot cool.
    words[Head.BUSY] = 1
    serving = max(unknown, slots.in_service)
    for slot in range(capacity):
        # The others have cooled by now, and not before now: a window made longer later would reach
        # their calls.
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

    All of it is left when the clock says that the pause has not begun.
    """
    gone = max(0, wall - began - MARGIN)
    return max(0, min(length, int(LONGEST_PAUSE * 10**9)) - gone)
