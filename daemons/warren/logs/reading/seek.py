"""The search for a time in a log file, without reading the whole file."""

from __future__ import annotations

from collections.abc import Callable

from warren.logs.reading.line import time_of

#: The number of seconds by which a clock may have been set back, all in all, with a correct result.
#: Lines are in the order in which they were written. So where a line is older than a time by more
#: than this, all lines before it are older than that time; and where a line is later by more, all
#: lines after it are later. A search for a time that is earlier or later by this much cannot be
#: misled by the lines between. After a greater step back the search ends at one of several
#: positions: of the lines from before the step, those with times that the clock has had again since
#: then may be missed.
SET_BACK = 600.0

#: Number of bytes within which a search ends: reading them costs less than another look. A look
#: reads half as many.
NEAR = 1 << 16
#: Largest number of bytes of a line; no honest program writes a longer one, and it is left out.
LONGEST = 1 << 20


def border(read: Callable[[int, int], bytes], low: int, high: int, time: bytes) -> tuple[int, int]:
    """Return two positions between `low` and `high` at which lines begin, close together.

    The line at the first position is older than `time`, the line at the second is not. The first
    may be `low`, and the second `high`, where all lines are on one side. `read` returns the bytes
    at a position, up to a number of them. Lines begin at `low` and at `high`.
    """
    while high - low > NEAR:
        middle, length = (low + high) // 2, NEAR // 2
        while (
            found := _timed(read(middle, min(length, high - middle)), middle)
        ) is None and middle + length < high:
            if length > 2 * LONGEST:
                break  # no line with a time here: everything between the two positions is read then
            length *= 2  # a long line, or text that is no line
        if found is None:
            break
        position, its_time = found
        if its_time < time:
            low = position
        else:
            high = position
    return low, high


def _timed(block: bytes, position: int) -> tuple[int, bytes] | None:
    """Return the position and the time of the first whole line with a time in a block.

    The block begins at `position`.
    """
    begin = block.find(b"\n") + 1
    while 0 < begin < (end := block.find(b"\n", begin) + 1):
        try:
            return position + begin, time_of(block[begin:end])
        except ValueError:
            begin = end
    return None
