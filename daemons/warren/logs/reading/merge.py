"""Lines of several files in the order of their times, without holding more than seconds of them."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from warren.logs.reading.line import later

#: A line may stand in its file so many seconds later than its time says, and still comes out in its place: processes that
#: share a file write in turns, and one may be held up between the making of a line and its write.
DISORDER = 1.0

#: When it was made, and the line.
Timed = tuple[bytes, bytes]

#: Bytes of lines that are held back, at most: more of one second was written by nobody who logs, and comes as it stands.
HELD = 1 << 26

_SECOND = len("2026-01-31T23:59:59")
_ZERO = b".000000Z"
_time = itemgetter(0)


def merged(files: Iterable[Iterable[Timed]]) -> Iterator[Timed]:
    """All lines of all files, by time; none is left out, however great the disorder is."""
    return heapq.merge(*map(in_order, files), key=_time)


def in_order(lines: Iterable[Timed]) -> Iterator[Timed]:
    """The lines of one file, by time. It holds back those of the last DISORDER + 1 seconds."""
    held: list[Timed] = []
    second, size = b"", 0
    for line in lines:
        # Another second, not a later one: after a clock was set back, a whole hour would be held.
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
    """What `merged` gives, from its end, out of files whose lines come from their ends (see `back_in_order`)."""
    return heapq.merge(*reversed(files), key=_time, reverse=True)


def back_in_order(lines: Iterable[Timed]) -> Iterator[Timed]:
    """What `in_order` gives, from its end, out of the lines of one file from its end. It holds back as much."""
    held: list[Timed] = []
    second, size = b"", 0
    for line in lines:
        if line[0][:_SECOND] != second:
            second = line[0][:_SECOND]
            held.sort(key=_time, reverse=True)
            # What comes now was made before the end of this second, or DISORDER later at most.
            waiting = later(second + _ZERO, 1 + DISORDER)
            ripe = next((place for place, (time, _) in enumerate(held) if time < waiting), len(held))
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
