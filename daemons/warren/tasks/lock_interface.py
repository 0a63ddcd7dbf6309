"""What each store of locks can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from warren.errors import WarrenError
from warren.tasks.lock_key import Key
from warren.tasks.lock_line import Holder

Scope = Literal["fleet", "host"]


class NoLockStore(WarrenError):
    """No store for locks can be used: none is configured, or it cannot be reached now."""


class Grant(Protocol):
    """A lock that this process has taken."""

    token: int

    @property
    def held(self) -> bool:
        """Whether this process still holds the lock. False once, then always False."""

    def release(self) -> bool:
        """Release the lock. Return False when the lock was lost before. Raises NoLockStore."""

    def finish(self, result: str, keep: float) -> bool:
        """Note that the work is done, with its result, for `keep` seconds; release the lock.

        Return False when the lock was lost before. Raises NoLockStore.
        """


@dataclass(frozen=True)
class Refused:
    """Another holder has the lock. left: seconds until a dead holder's lock is free."""

    holder: Holder
    left: float


@dataclass(frozen=True)
class Done:
    """The work was done before. result: JSON; empty when it was too large to be kept."""

    holder: Holder
    result: str


class Store(Protocol):
    """A store of locks."""

    def take(self, key: Key, note: str) -> Grant | Refused | Done:
        """Take the lock if it is free. Raises NoLockStore."""
