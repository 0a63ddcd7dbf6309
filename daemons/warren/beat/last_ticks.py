"""What the next leader must know of the ticks, and the file that has it on the embedded broker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warren.system.atomic_write import replace_file
from warren.system.regular_file import make_directory, read_regular

#: Bytes of the file; those of a hundred thousand entries are fewer.
_LARGEST = 1 << 24
#: Seconds since the epoch up to which there are dates, to the end of the year 9999 in every time
#: zone but some hours.
_LATEST = 253_402_300_799.0 - 86400


@dataclass(frozen=True)
class KnownTicks:
    """The ticks as the leader knows them (seconds since the epoch), by entry."""

    #: The last tick that was handled.
    last: Mapping[str, float] = field(default_factory=dict)
    #: Later ticks whose sending has begun: if the leader is lost now, it is not known whether the
    #: broker has them.
    begun: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    #: How often the entry has begun again at an earlier tick, because a clock had been ahead. Ticks
    #: that come due again are new tasks then, with other ids.
    rounds: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> str:
        """Return the ticks as JSON, as `parse` reads them, also that of an older version."""
        rounds = {"rounds": dict(self.rounds)} if self.rounds else {}
        return json.dumps({"last": dict(self.last), "begun": dict(self.begun), **rounds})


class LastTicks:
    """A small file, which is replaced whole and made durable before and after ticks are sent."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, known: KnownTicks) -> None:
        """Write these ticks. Raises OSError when they cannot be written."""
        make_directory(self.path.parent)
        # On disk: a loss of power may cost no more than a crash of beat.
        replace_file(self.path, known.as_json(), durable=True)

    def read(self) -> KnownTicks:
        """Return the ticks that were written last; none without a file that Warren wrote."""
        try:
            return parse(read_regular(self.path, _LARGEST)[0])
        except OSError:
            return KnownTicks()


def parse(text: str | bytes) -> KnownTicks:
    """Return the last ticks as JSON has them; none for JSON that Warren did not write.

    Then each entry begins with its next tick. Making up for ticks that are not known would send
    some of them twice.
    """
    try:
        found = json.loads(text)
        if isinstance(found, dict) and not isinstance(found.get("last"), dict):
            # Older versions write entries, and the last tick of each.
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
    if not 0 <= tick <= _LATEST:  # also what is no number
        raise ValueError(tick)
    return tick
