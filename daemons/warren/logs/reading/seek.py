"""The search for a time in a log file that does not read the whole file."""

from __future__ import annotations

from collections.abc import Callable

from warren.logs.reading.line import time_of

#: Seconds. The result is correct if clocks were set back by no more than this, all in all. Lines
#: are in the order in which they were written. So if a line is older than a time by more than this,
#: all lines before that line are older than the time. And if a line is later than a time by more
#: than this, all lines after that line are later. So the search looks for a time that is earlier or
#: later by this much, and no line in between can mislead it. After a greater step back the search
#: ends at one of several positions. It may then miss lines from before the step: those whose times
#: the clock has shown a second time.
SET_BACK = 600.0

#: Bytes within which a search ends: reading them costs less than another look. A look reads half as
#: many bytes.
NEAR = 1 << 16
#: The most bytes of a line. No honest program writes a longer line, and such a line is left out.
LONGEST = 1 << 20


def border(read: Callable[[int, int], bytes], low: int, high: int, time: bytes) -> tuple[int, int]:
    """Return two positions between `low` and `high`, close together, at which lines begin.

    The line at the first position is older than `time`; the line at the second position is not.
    When all lines are older, or no line is, one of the positions is `high` or `low`. read: returns
    the bytes at a position, up to a number of bytes. Lines begin at `low` and at `high`.
    """
    while high - low > NEAR:
        middle, length = (low + high) // 2, NEAR // 2
        while (
            found := _timed(read(middle, min(length, high - middle)), middle)
        ) is None and middle + length < high:
            if length > 2 * LONGEST:
                break  # no line here has a time, so everything between the two positions is read
            length *= 2  # a long line, or text that is not a line
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
