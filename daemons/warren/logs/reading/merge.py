"""Lines of several files in the order of their times, with only seconds of them in memory."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from warren.logs.reading.line import later

#: A line may be in its file this many seconds later than its time says, and is still put in order.
#: Processes that share a file write one after the other, and one may be delayed between the making
#: of a line and its write.
DISORDER = 1.0

#: The time at which the line was made, and the line.
Timed = tuple[bytes, bytes]

#: Largest size in bytes of the lines that are held back. No honest program writes more within a
#: second; such lines come in the order of the file.
HELD = 1 << 26

_SECOND = len("2026-01-31T23:59:59")
_ZERO = b".000000Z"
_time = itemgetter(0)


def merged(files: Iterable[Iterable[Timed]]) -> Iterator[Timed]:
    """Return all lines of all files, by time; none is left out, however great the disorder is."""
    return heapq.merge(*map(in_order, files), key=_time)


def in_order(lines: Iterable[Timed]) -> Iterator[Timed]:
    """Return the lines of one file, by time.

    Lines of the last DISORDER + 1 seconds are held back.
    """
    held: list[Timed] = []
    second, size = b"", 0
    for line in lines:
        # A different second, not a later one: after a clock was set back, a whole hour would be
        # held.
        if line[0][:_SECOND] != second:
            second = line[0][:_SECOND]
            held.sort(key=_time)
            ripe = bisect_left(held, later(second + _ZERO, -DISORDER), key=_time)
            yield from held[:ripe]
            del held[:ripe]
            size = sum(len(raw) for _, raw in held)
        held.append(line)
        size += len(line[1])
        if size > HELD:
            held.sort(key=_time)
            yield from held
            held.clear()
            size = 0
    held.sort(key=_time)
    yield from held


def latest_first(files: Sequence[Iterable[Timed]]) -> Iterator[Timed]:
    """Return what `merged` returns, from the end; each file's lines come from `back_in_order`."""
    return heapq.merge(*reversed(files), key=_time, reverse=True)


def back_in_order(lines: Iterable[Timed]) -> Iterator[Timed]:
    """Return what `in_order` returns, from the end, for the lines of one file from its end.

    As many lines are held back.
    """
    held: list[Timed] = []
    second, size = b"", 0
    for line in lines:
        if line[0][:_SECOND] != second:
            second = line[0][:_SECOND]
            held.sort(key=_time, reverse=True)
            # A line that comes now was made before the end of this second, or at most DISORDER
            # later.
            waiting = later(second + _ZERO, 1 + DISORDER)
            ripe = next((number for number, (time, _) in enumerate(held) if time < waiting), len(held))
            yield from held[:ripe]
            del held[:ripe]
            size = sum(len(raw) for _, raw in held)
        held.append(line)
        size += len(line[1])
        if size > HELD:
            held.sort(key=_time, reverse=True)
            yield from held
            held.clear()
            size = 0
    held.sort(key=_time, reverse=True)
    yield from held
