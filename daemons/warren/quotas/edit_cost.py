"""The pause that a change of a quota will cost, shown before the change is in force."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from warren.config import Settings
from warren.config.schema import QuotaSettings
from warren.config.units import duration_text
from warren.errors import WarrenError
from warren.quotas.ledger import LEDGER_ERRORS, Ledger
from warren.system.regular_file import read_regular

#: The largest ledger that is copied for the trial, in bytes: a ledger of a million calls is
#: smaller.
_LARGEST = 1 << 27
#: The shortest pause that gets a line, in seconds.
_NOTEWORTHY = 1.0


def pauses(settings: Settings) -> list[str]:
    """Return a line for each quota that these settings would close for longer than before.

    A longer window counts calls that the shorter window had forgotten. The change is tried on a
    copy of the ledger, so that the rules of a change are written only once.
    """
    found = []
    for name, quota in settings.quotas.items():
        try:
            content, _ = read_regular(settings.app.state_dir / "quota" / f"{name}.ledger", _LARGEST)
            with TemporaryDirectory(prefix="warren-") as scratch:
                before, after = _waits(Path(scratch) / "copy.ledger", content, quota)
        except (OSError, WarrenError, *LEDGER_ERRORS):
            continue  # there is no ledger yet, or the suite itself reports the damage
        if after - before > _NOTEWORTHY:
            found.append(
                f"quota {name}: no call for {after:.0f} s: {duration_text(quota.limit.seconds)} is "
                "a longer window than before, and counts calls that the old window had forgotten"
            )
    return found


def _waits(path: Path, content: bytes, quota: QuotaSettings) -> tuple[float, float]:
    """Return the seconds until a call: first by the ledger as it is, then by these settings."""
    path.write_bytes(content)
    ledger = Ledger(path)
    try:
        before = ledger.wait_s(min(quota.cost, ledger.counts().limit)) or 0.0
        ledger.configure(quota.limit.calls, quota.limit.seconds, quota.longest_call)
        return before, ledger.wait_s(quota.cost) or 0.0
    finally:
        ledger.close()
