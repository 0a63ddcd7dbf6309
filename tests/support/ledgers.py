"""Ledgers with real files, and what somebody else may do to them."""

from __future__ import annotations

import fcntl
import struct
from pathlib import Path

from warren.quotas.layout import HEADER_WORDS, SLOT_WORDS, WORD, Head, Slot
from warren.quotas.ledger import Ledger
from warren.quotas.slot_counts import Counts
from warren.system.process import Process

WINDOW, LONGEST = 3600.0, 5.0
NOBODY = Process(2**22 + 1, 1)  # above the highest process number there can be


def fresh(path: Path, limit: int = 4, window: float = WINDOW) -> Ledger:
    """A configured ledger."""
    ledger = Ledger(path)
    ledger.configure(limit, window, LONGEST)
    return ledger


def poke(path: Path, **words: int) -> None:
    """Writes words of the header as somebody else would, behind everybody's back."""
    with open(path, "r+b") as file:
        for name, value in words.items():
            file.seek(Head[name] * WORD)
            file.write(struct.pack("q", value))


def poke_slot(path: Path, slot: int, word: Slot, value: int) -> None:
    with open(path, "r+b") as file:
        file.seek((HEADER_WORDS + slot * SLOT_WORDS + word) * WORD)
        file.write(struct.pack("q", value))


def whole(ledger: Ledger, limit: int) -> Counts:
    """Makes the lists again and reaps; checks that they lost nothing.

    Every slot in service is then free or cools.
    """
    ledger.reap()
    counts = ledger.counts()
    assert counts.limit == limit
    assert counts.open == 0
    assert counts.free + counts.cooling >= limit
    return counts


def free_to_lock(path: Path) -> bool:
    """Whether nobody holds the ledger's lock."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
