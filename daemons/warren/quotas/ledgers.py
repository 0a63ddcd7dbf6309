"""The ledgers of this host, by quota name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from warren.config import Settings
from warren.errors import CannotWrite, WarrenError
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.quotas.ledger import LEDGER_ERRORS, Ledger, LedgerBusy, Opened


class Ledgers(Mapping[str, Ledger]):
    """The ledgers under `directory`, by quota name. `configure` makes each ledger match the
    settings.

    timeout: seconds to wait for a ledger's lock at each use; by default `mapped_file.TIMEOUT`.
    """

    def __init__(self, settings: Settings, timeout: float | None = None) -> None:
        self.settings = settings
        self.directory = settings.app.state_dir / "quota"
        self._ledgers = {
            name: Ledger(self.directory / f"{name}.ledger", timeout) for name in settings.quotas
        }

    def __getitem__(self, name: str) -> Ledger:
        return self._ledgers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ledgers)

    def __len__(self) -> int:
        return len(self._ledgers)

    def close(self) -> None:
        """Close every ledger's file. The caller uses another `Ledgers` from here on."""
        for ledger in self._ledgers.values():
            ledger.close()

    def configure(self) -> None:
        """Create, repair or adjust every ledger, and log what was found.

        Raises as `configure_one` does.
        """
        for name in self:
            self.configure_one(name)

    def configure_one(self, name: str) -> None:
        """Create, repair or adjust one ledger, and log what was found.

        Raises WarrenError when another process holds the lock, CannotWrite when the file cannot be
        written.
        """
        quota = self.settings.quotas[name]
        ledger = self[name]
        try:
            found = ledger.configure(*self._quota_settings(name))
        except LedgerBusy as busy:
            raise WarrenError(f"{busy}; start again") from busy
        except OSError as error:
            raise CannotWrite(
                f"cannot write the ledger of quota {name}, {ledger.path}: {error.strerror}; "
                "free space or set the owner of the directory, then start again"
            ) from error
        wait = _wait(ledger, quota.cost) if found.changed else 0.0
        _log_opened(name, str(quota.limit), found, wait)
        if found.older:
            logger().warning(Event.SETTINGS_OLDER, quota=name, limit=str(quota.limit))

    def stands(self, name: str) -> bool:
        """Return whether the ledger has these settings or later settings. Raises LEDGER_ERRORS."""
        return self[name].stands(*self._quota_settings(name))

    def _quota_settings(self, name: str) -> tuple[int, float, float, int]:
        quota = self.settings.quotas[name]
        return quota.limit.calls, quota.limit.seconds, quota.longest_call, self.settings.generation


def _wait(ledger: Ledger, cost: int) -> float:
    """Return the seconds until the next call; 0 when the ledger cannot be read or cannot say."""
    try:
        return ledger.wait_s(cost) or 0.0
    except LEDGER_ERRORS:
        return 0.0


def _log_opened(name: str, limit: str, found: Opened, wait: float) -> None:
    if found.damage:
        logger().error(
            Event.LEDGER_DAMAGED,
            quota=name,
            reason=found.damage,
            consequence="every slot cools for a window",
            **({"kept_as": str(found.aside)} if found.aside else {}),
        )
    elif found.changed or found.taken_over:
        cost = {"next_call_s": round(wait, 3)} if wait else {}
        logger().info(
            Event.QUOTA_CHANGED, quota=name, limit=limit, after_boot=found.taken_over, **cost
        )
