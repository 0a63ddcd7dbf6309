"""The ticks of a schedule entry, counted where they arrive; and the times in which no beat led."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from warren.beat.ticks import GRACE, task_id


@dataclass(frozen=True)
class Silence:
    """From the last tick of one leader to the first of the next, which has `taken` over between.

    In seconds since the epoch.
    """

    last: float
    taken: float
    first: float


def silences(records: Iterable[dict[str, Any]]) -> list[Silence]:
    """Each change of the leader, from the lines of the beats of all hosts."""
    found: list[Silence] = []
    last, taken = 0.0, 0.0
    for record in sorted(records, key=lambda record: str(record["timestamp"])):
        if record["event"] == "leader_taken":
            taken = datetime.fromisoformat(record["timestamp"]).timestamp()
        elif (
            record["event"] == "tick_sent" and record["late_s"] <= GRACE
        ):  # not one that was made up for, or sent again
            if taken and last:
                found.append(Silence(last, taken, record["tick"]))
            last, taken = record["tick"], 0.0
    return found


def arrived(
    identities: Iterable[str], app: str, entry: str, every: float, first: float, last: float
) -> Counter[float]:
    """Return how often the task of each tick from `first` to `last` is among these.

    Ids of other ticks are left out.
    """
    ticks = {task_id(app, entry, tick): tick for tick in _each(first, last, every)}
    return Counter(ticks[identity] for identity in identities if identity in ticks)


def lost(found: Counter[float], every: float, between: Iterable[Silence] = ()) -> list[float]:
    """Return the missing ticks from the first to the last one found.

    Those within these silences are left out.
    """
    known = list(between)
    missing = [tick for tick in _each(min(found), max(found), every) if not found[tick]]
    return [
        tick
        for tick in missing
        if not any(silence.last < tick < silence.first for silence in known)
    ]


@dataclass(frozen=True)
class Balance:
    """What became of the ticks of all entries, from the first to the last that a beat spoke of."""

    sent: int
    told: int  # as missed and not sent
    untold: int
    twice: int


def balance(records: Iterable[dict[str, Any]], every: float) -> Balance:
    """The balance of entries that tick `every` so many seconds, from beat's lines in any order.

    A gap is told before what is sent beside it, also before the older ticks whose sending had
    begun.
    """
    sent, covered, told = Counter[tuple[str, int]](), dict[str, list[int]](), 0
    for record in records:
        if record["event"] not in ("tick_sent", "tick_missed"):
            continue
        entry, number = record["entry"], round(record["tick"] / every)
        first = round(record["after"] / every) + 1 if "after" in record else number
        covered.setdefault(entry, []).extend((first, number))
        told += record.get("left_out", 0)
        if record["event"] == "tick_sent":
            sent[entry, number] += 1
    due = sum(max(numbers) - min(numbers) + 1 for numbers in covered.values())
    return Balance(len(sent), told, due - len(sent) - told, sent.total() - len(sent))


def taken(app: Any, queue: str = "default") -> Iterator[str]:
    """The id of each message of the queue, which is empty afterwards."""
    with app.connection_for_read() as connection:
        channel = connection.channel()
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            yield str(channel.message_to_python(message).headers["id"])


def _each(first: float, last: float, every: float) -> list[float]:
    """The multiples of `every` in between, both included.

    Counted: sums of fractions would drift.
    """
    return [number * every for number in range(round(first / every), round(last / every) + 1)]
