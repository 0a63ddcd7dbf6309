"""The ledger's format: the meaning of each 64-bit word of the file.

Every word is a signed native integer.

A word is written by one store, so that a process killed between two instructions leaves each word
old or new, never mixed. Times are nanoseconds of CLOCK_BOOTTIME.
"""

from __future__ import annotations

from enum import IntEnum

MAGIC = 0x57415252454E4C47  # "WARRENLG"
VERSION = 1
WORD = 8
#: One page: the header can be made durable without touching the slots.
HEADER_WORDS = 512
SLOT_WORDS = 10
#: No slot: the end of a list.
NIL = -1
#: A window is measured longer by one part in so many: this host's clock may run that much faster
#: than the provider's (the kernel corrects a clock by 500 parts in a million at most).
DRIFT = 2000
#: Durations and serials of a sound ledger lie below this, so that no sum of a few of them leaves
#: the word.
MOST = 2**61


class Head(IntEnum):
    """Words of the header."""

    MAGIC = 0
    VERSION = 1
    CAPACITY = 2  # slot records in the file: the highest limit there ever was
    BOOT = 3  # which boot the times and process numbers belong to (a hash)
    LIMIT = 4  # slots wanted
    WINDOW = 5  # ns that a slot cools after the response
    LONGEST_CALL = 6  # ns that a call of unknown outcome may still be under way
    BUSY = 7  # 1 while the lists are being changed: found at 1, they are rebuilt from the slots
    # A queue: what was free first serves first, so that the slots remember the last calls.
    FREE_HEAD = 8
    FREE_COUNT = 9
    COOL_HEAD = 10  # sorted by UNTIL, the soonest first
    COOL_TAIL = 11
    RETIRED_COUNT = 12
    SERIAL = 13  # of the last reservation
    CLOSED_UNTIL = 14  # nothing is admitted before (Retry-After)
    HIGH_WATER = 15  # never more slots than this are in use; on disk before they are
    ADMITTED = 16  # since the ledger was made, for people
    REFUSED = 17
    FREE_TAIL = 18
    # As much of HIGH_WATER as is known to be on disk: stored after the sync, which may fail or be
    # cut off.
    DURABLE = 19
    # The pause of CLOSED_UNTIL for a later boot, which has the wall clock only. 0 in a ledger of
    # before they were kept.
    PAUSED_AT = 21  # ns since the epoch
    PAUSED_FOR = 22  # ns
    # Of the settings that LIMIT, WINDOW and LONGEST_CALL are from: older ones change nothing. 0:
    # none is known.
    GENERATION = 23
    # Until then a call may count that no slot remembers: for slots that come into service.
    FORGOTTEN = 20


class Slot(IntEnum):
    """Words of a slot. STATE and UNTIL are the truth, NEXT and PREV only the order of the lists."""

    STATE = 0
    UNTIL = 1  # resting: free from then on
    NEXT = 2
    PREV = 3
    SERIAL = 4  # of the reservation that holds it
    PID = 5  # the owner: whoever may still make the call
    START = 6
    SINCE = 7
    VALID_UNTIL = 8  # a leased slot may be used until then; 0: it is this host's own
    SPARE = 9


class State(IntEnum):
    """A slot rests (free once UNTIL has passed, cooling before), is open, or is retired.

    A lowered limit retires slots.
    """

    RESTING = 0
    OPEN = 1
    RETIRED = 2
