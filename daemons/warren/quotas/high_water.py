"""HIGH_WATER: a mark on disk that is never below the number of slots in use.

The mark is written before the slots are used. After a power cut the disk may know of the slots no
more than this mark.
"""

from __future__ import annotations

from collections.abc import Callable

from warren.quotas.layout import Head
from warren.quotas.slots import Slots


def raise_for(slots: Slots, count: int, sync: Callable[[], None]) -> None:
    """Raise the mark, if needed, before `count` more slots are reserved.

    sync: puts the header of the ledger on disk.
    """
    words, needed = slots.words, _in_use(slots) + count
    if needed <= words[Head.DURABLE]:
        return
    words[Head.HIGH_WATER] = max(
        words[Head.HIGH_WATER], min(needed + _block(slots), words[Head.CAPACITY])
    )
    # The mark is on disk before the slots are reserved. So after a power cut it is never below the
    # number of slots that were in use.
    sync()
    words[Head.DURABLE] = words[Head.HIGH_WATER]


def lower(slots: Slots) -> None:
    """Lower the mark to the number of slots in use, plus the usual lead."""
    level = _in_use(slots) + _block(slots)
    # The order matters: DURABLE is never above HIGH_WATER.
    for mark in (Head.DURABLE, Head.HIGH_WATER):
        slots.words[mark] = min(level, slots.words[mark])


def _in_use(slots: Slots) -> int:
    """Return the number of slots in service that are not free.

    Slots that have cooled but are not yet in the list of free slots count, too.
    """
    return slots.in_service - int(slots.words[Head.FREE_COUNT])


def _block(slots: Slots) -> int:
    """Return how far ahead HIGH_WATER is written, in slots.

    It is a sixteenth of the limit, so that a full window costs about sixteen syncs.
    """
    return max(1, int(slots.words[Head.LIMIT]) // 16)
