"""What the next leader must know of the ticks, and its file on the embedded broker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warren.system.atomic_write import replace_file
from warren.system.regular_file import make_directory, read_regular

#: The largest file that is read, in bytes: a hundred thousand entries need less.
_LARGEST = 1 << 24
#: The latest time that is read, in seconds since the epoch. It is in the year 9999, and in nearly
#: every time zone a date can hold it.
_LATEST = 253_402_300_799.0 - 86400


@dataclass(frozen=True)
class KnownTicks:
    """The ticks as the leader knows them, by entry, in seconds since the epoch."""

    #: The last tick that was handled.
    last: Mapping[str, float] = field(default_factory=dict)
    #: Later ticks whose sending has begun. If the leader is lost now, nobody knows whether the
    #: broker has them.
    begun: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    #: How often a clock was ahead, so that the entry has begun again at an earlier tick. A tick
    #: that comes due a second time is then a new task with a new id.
    rounds: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> str:
        """Return the ticks as JSON that `parse` reads, here and in older versions."""
        rounds = {"rounds": dict(self.rounds)} if self.rounds else {}
        return json.dumps({"last": dict(self.last), "begun": dict(self.begun), **rounds})


class LastTicks:
    """The file of the last ticks on the embedded broker.

    Each write replaces the whole file and makes it durable, before and after ticks are sent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, known: KnownTicks) -> None:
        """Write these ticks. Raises OSError when they cannot be written."""
        make_directory(self.path.parent)
        # On disk: a power cut may lose no more ticks than a crash of beat.
        replace_file(self.path, known.as_json(), durable=True)

    def read(self) -> KnownTicks:
        """Return the ticks that were written last; no ticks if Warren has written no such file."""
        try:
            return parse(read_regular(self.path, _LARGEST)[0])
        except OSError:
            return KnownTicks()


def parse(text: str | bytes) -> KnownTicks:
    """Return the last ticks that the JSON holds; no ticks when Warren did not write the JSON.

    An entry without a last tick begins with its next tick. If unknown ticks were made up for, some
    of them would be sent twice.
    """
    try:
        found = json.loads(text)
        if isinstance(found, dict) and not isinstance(found.get("last"), dict):
            # Older versions write only the entries with the last tick of each entry.
            return KnownTicks(_ticks(found))
        begun = {str(entry): _begun(ticks) for entry, ticks in found["begun"].items()}
        rounds = {entry: int(count) for entry, count in _ticks(found.get("rounds", {})).items()}
        return KnownTicks(_ticks(found["last"]), begun, rounds)
    except (ValueError, AttributeError, KeyError, TypeError, OverflowError, RecursionError):
        return KnownTicks()


def _ticks(found: Any) -> dict[str, float]:
    return {str(entry): _moment(tick) for entry, tick in found.items()}


def _begun(found: Any) -> tuple[float, ...]:
    return tuple(_moment(tick) for tick in found)


def _moment(found: Any) -> float:
    tick = float(found)
    if not 0 <= tick <= _LATEST:  # also when the tick is not a number
        raise ValueError(tick)
    return tick
