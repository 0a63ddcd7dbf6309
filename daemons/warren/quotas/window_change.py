"""A change of a quota's window or of its longest call: every slot cools long enough for both.

The caller holds the lock and rebuilds the lists.
"""

from __future__ import annotations

from warren.quotas.layout import Head, Slot
from warren.quotas.rebuild import oldest_use
from warren.quotas.slots import Slots


def retime(slots: Slots, window: int, longest_call: int, now: int) -> None:
    """Give the quota another WINDOW and LONGEST_CALL (ns), also for the calls made before.

    A process may be killed in this function, and another may begin it again with any settings:
    until the new times are stored, every slot cools long enough for the old and the new times,
    however often that happens. `rebuild` shortens the cooling of slots that cool longer than the
    new times ask. Leaves BUSY set.
    """
    words = slots.words
    old_window, old_longest = int(words[Head.WINDOW]), int(words[Head.LONGEST_CALL])
    words[Head.BUSY] = 1
    more = max(0, window - old_window) + max(0, longest_call - old_longest)
    if more:
        # A longer window counts calls further back: the last calls, which the slots remember, and
        # older calls, which no slot remembers.
        forgotten = max(oldest_use(slots, now), int(words[Head.FORGOTTEN]))
        words[Head.FORGOTTEN] = forgotten + more if forgotten else 0
        for slot, until in enumerate(slots.column(Slot.UNTIL).tolist()):
            if until:
                slots.put(slot, Slot.UNTIL, until + more)
    words[Head.WINDOW], words[Head.LONGEST_CALL] = window, longest_call
