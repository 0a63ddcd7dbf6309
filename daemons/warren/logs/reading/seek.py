"""Where in a log file a time stands, found without reading all of it."""

from __future__ import annotations

from collections.abc import Callable

from warren.logs.reading.line import time_of

#: So many seconds a clock may have been set back, all in all, and what is found is right. Lines stand in the order in which
#: they were written. So where one is older than a time by more than this, all before it are older than that time; and where
#: one is later by more, all behind it are later. A search for a line that much older or later cannot be misled by what stands
#: between. After a greater step back it ends at one of several places: of the lines from before the step, those with times
#: that the clock has had again since then may be missed.
SET_BACK = 600.0

#: Bytes within which a search ends: reading them costs less than another look. A look reads half as many.
NEAR = 1 << 16
#: Bytes of a line; what is longer was written by nobody who logs, and is left out.
LONGEST = 1 << 20


def border(read: Callable[[int, int], bytes], low: int, high: int, time: bytes) -> tuple[int, int]:
    """Two places between `low` and `high` where a line begins, close together: the line at the first is older than `time`,
    that at the second is not. The first may be `low`, and the second `high`, where all lines are of one kind.

    `read` gives the bytes at a place, so many of them; `low` and `high` are where lines begin.
    """
    while high - low > NEAR:
        middle, length = (low + high) // 2, NEAR // 2
        while (found := _timed(read(middle, min(length, high - middle)), middle)) is None and middle + length < high:
            if length > 2 * LONGEST:
                break  # not here: all between the two places is read then
            length *= 2  # a long line, or what is no line
        if found is None:
            break
        place, its_time = found
        if its_time < time:
            low = place
        else:
            high = place
    return low, high


def _timed(block: bytes, place: int) -> tuple[int, bytes] | None:
    """The first whole line in a block from that place on which has a time: where it begins, and the time."""
    begin = block.find(b"\n") + 1
    while 0 < begin < (end := block.find(b"\n", begin) + 1):
        try:
            return place + begin, time_of(block[begin:end])
        except ValueError:
            begin = end
    return None
