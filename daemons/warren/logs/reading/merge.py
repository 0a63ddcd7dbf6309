"""Lines of several files in the order of their times, with only seconds of them in memory."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
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

    def ripe(held: list[Timed], second: bytes) -> int:
        return bisect_left(held, later(second, -DISORDER), key=_time)

    return _ordered(lines, ripe, reverse=False)


def latest_first(files: Sequence[Iterable[Timed]]) -> Iterator[Timed]:
    """Return what `merged` returns, from the end; each file's lines come from `back_in_order`."""
    return heapq.merge(*reversed(files), key=_time, reverse=True)


def back_in_order(lines: Iterable[Timed]) -> Iterator[Timed]:
    """Return what `in_order` returns, from the end, for the lines of one file from its end.

    As many lines are held back.
    """

    def ripe(held: list[Timed], second: bytes) -> int:
        # A line that comes now was made before the end of this second, or at most DISORDER later.
        waiting = later(second, 1 + DISORDER)
        return next((number for number, (time, _) in enumerate(held) if time < waiting), len(held))

    return _ordered(lines, ripe, reverse=True)


def _ordered(
    lines: Iterable[Timed], ripe: Callable[[list[Timed], bytes], int], *, reverse: bool
) -> Iterator[Timed]:
    """Return the lines in order, from the newest on if `reverse`.

    `ripe` says how many of the held lines, which are in order, no later line can come before, once
    the lines have reached a second.
    """
    held: list[Timed] = []
    second, size = b"", 0
    for line in lines:
        # A different second, not a later one: after a clock was set back, a whole hour would be
        # held.
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
