"""Lines of several files in the order of their times. Memory holds only some seconds of them."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter

from warren.logs.reading.line import later

#: Seconds. A line that is in its file so much later than its time says is still put in order.
#: Processes that share a file write one after the other, and a process may be delayed between the
#: making of a line and its write.
DISORDER = 1.0

#: The time at which the line was made, and the line.
Timed = tuple[bytes, bytes]

#: The most bytes of lines that are held back. No honest program writes more within a second. Lines
#: beyond this limit come in the order of the file.
HELD = 1 << 26

_SECOND = len("2026-01-31T23:59:59")
_ZERO = b".000000Z"
_time = itemgetter(0)


def merged(files: Iterable[Iterable[Timed]]) -> Iterator[Timed]:
    """Return all lines of all files, by time. However great the disorder is, no line is lost."""
    return heapq.merge(*map(in_order, files), key=_time)


def in_order(lines: Iterable[Timed]) -> Iterator[Timed]:
    """Return the lines of one file, by time.

    Lines of the last DISORDER + 1 seconds are held back.
    """

    def ripe(held: list[Timed], second: bytes) -> int:
        return bisect_left(held, later(second, -DISORDER), key=_time)

    return _ordered(lines, ripe, reverse=False)


def latest_first(files: Sequence[Iterable[Timed]]) -> Iterator[Timed]:
    """Return what `merged` returns, from its end.

    files: the lines of each file, from `back_in_order`.
    """
    return heapq.merge(*reversed(files), key=_time, reverse=True)


def back_in_order(lines: Iterable[Timed]) -> Iterator[Timed]:
    """Return what `in_order` returns, from its end.

    lines: the lines of one file, from its end. As in `in_order`, the lines of DISORDER + 1 seconds
    are held back.
    """

    def ripe(held: list[Timed], second: bytes) -> int:
        # The next line was made before the end of this second, or at most DISORDER seconds later.
        waiting = later(second, 1 + DISORDER)
        return next((number for number, (time, _) in enumerate(held) if time < waiting), len(held))

    return _ordered(lines, ripe, reverse=True)


def _ordered(
    lines: Iterable[Timed], ripe: Callable[[list[Timed], bytes], int], *, reverse: bool
) -> Iterator[Timed]:
    """Return the lines in order; if `reverse`, the newest line first.

    ripe: gets the held lines, in order, and the second that the lines have reached. Returns how
    many of the held lines are safe to return: no later line can come before them.
    """
    held: list[Timed] = []
    second, size = b"", 0
    for line in lines:
        # A different second, not only a later second: otherwise a whole hour of lines would be held
        # after a clock was set back.
        if line[0][:_SECOND] != second:
            second = line[0][:_SECOND]
            held.sort(key=_time, reverse=reverse)
            number = ripe(held, second + _ZERO)
            yield from held[:number]
            del held[:number]
            size = sum(len(raw) for _, raw in held)
        held.append(line)
        size += len(line[1])
        if size > HELD:
            held.sort(key=_time, reverse=reverse)
            yield from held
            held.clear()
            size = 0
    held.sort(key=_time, reverse=reverse)
    yield from held
