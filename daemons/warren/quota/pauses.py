"""What a change of a quota will cost, told before it is in force."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from warren.config import Settings
from warren.config.sections import QuotaSettings
from warren.config.units import duration_text
from warren.errors import WarrenError
from warren.quota.ledger import LEDGER_ERRORS, Ledger
from warren.regular_file import read_regular

#: Bytes of a ledger that is tried on a copy: that of a limit of a million calls has fewer.
_LARGEST = 1 << 27
#: Seconds of a pause that are worth a word.
_NOTEWORTHY = 1.0


def pauses(settings: Settings) -> list[str]:
    """Return a line for each quota that these settings would leave without a call for longer than today's.

    A longer window counts calls that the shorter one had forgotten. What a change does is done here on a copy of the ledger, so
    that nobody has to know its rules twice.
    """
    found = []
    for name, terms in settings.quotas.items():
        try:
            content, _ = read_regular(settings.app.state_dir / "quota" / f"{name}.ledger", _LARGEST)
            with TemporaryDirectory(prefix="warren-") as scratch:
                before, after = _waits(Path(scratch) / "copy.ledger", content, terms)
        except (OSError, WarrenError, *LEDGER_ERRORS):
            continue  # there is none yet, or one that the suite itself will speak of
        if after - before > _NOTEWORTHY:
            found.append(
                f"quota {name}: no call for {after:.0f} s: {duration_text(terms.limit.seconds)} is a longer window than before, "
                "and counts calls that the old one had forgotten"
            )
    return found


def _waits(path: Path, content: bytes, terms: QuotaSettings) -> tuple[float, float]:
    """Return the seconds until a call, by the ledger as it is and by these terms."""
    path.write_bytes(content)
    ledger = Ledger(path)
    try:
        before = ledger.wait_s(min(terms.cost, ledger.counts().limit)) or 0.0
        ledger.configure(terms.limit.calls, terms.limit.seconds, terms.longest_call)
        return before, ledger.wait_s(terms.cost) or 0.0
    finally:
        ledger.close()
