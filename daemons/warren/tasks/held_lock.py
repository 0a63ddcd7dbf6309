"""A lock that this process holds, as a task's author sees it."""

from __future__ import annotations

import time
from contextvars import ContextVar
from types import TracebackType
from weakref import ref

from warren.errors import WarrenError
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.tasks.lock_contention import Busy, busy_with, own_note
from warren.tasks.lock_interface import Done, Grant, Refused, Scope
from warren.tasks.lock_key import Key
from warren.tasks.lock_store import store_of

#: The locks that the running code holds, the innermost last. The references are weak: a lock whose
#: run was cut off must not live on here, or it would be renewed without end.
_held: ContextVar[tuple[ref[Lock], ...]] = ContextVar("held_locks", default=())
#: Seconds between two attempts of a caller that waits.
_PAUSE = 0.2


class LockLost(WarrenError):
    """The holder has lost its lock: it was stopped or cut off for longer than the lease."""


class Lock:
    """A lock that is held inside its `with` block.

    key: for people. token: a number that is greater than that of each earlier holder of the key. A
    store that refuses a smaller token than it has seen refuses a holder that has lost its lock.
    """

    def __init__(self, key: Key, grant: Grant) -> None:
        self.key, self.digest, self.token = key.text, key.digest, grant.token
        self._grant, self._finished = grant, False

    @property
    def held(self) -> bool:
        """Whether this process still holds the lock. Asks nobody, so it is cheap."""
        return self._grant.held

    def finish(self, result: str, keep: float) -> bool:
        """Note the result of the work for `keep` seconds, and release the lock.

        Return False when the lock was lost before. Raises NoLockStore.
        """
        self._finished = True  # whatever comes now: the end of the block asks the store no more
        return self._grant.finish(result, keep)

    def check(self) -> None:
        """Raise LockLost unless this process still holds the lock."""
        if not self.held:
            raise LockLost(
                f"{self.key}: the lock was lost, because its holder was stopped or cut off from "
                "Redis; another holder may work by now"
            )

    def __enter__(self) -> Lock:
        _held.set((*(each for each in _held.get() if each()), ref(self)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _held.set(tuple(each for each in _held.get() if each() not in (None, self)))
        if self._finished:
            return
        try:
            released = self._grant.release()
        except WarrenError as problem:
            released = self.held
            logger().warning(Event.LOCK_NOT_RELEASED, key=self.key, reason=str(problem))
        if not released and kind is None:
            raise LockLost(
                f"{self.key}: the lock was lost before the end of the work; another holder may "
                "have worked at the same time"
            )


class Refusal(Exception):
    """The lock was not taken. left: seconds until a dead holder's lock is free."""

    def __init__(self, busy: Busy, left: float) -> None:
        super().__init__(str(busy))
        self.busy, self.left = busy, left


def current() -> Lock | None:
    """Return the innermost lock that the calling code holds; None without one."""
    return next((lock for each in reversed(_held.get()) if (lock := each()) is not None), None)


def holds(key: Key) -> bool:
    """Return whether the calling code itself holds the lock of this key."""
    return any(lock.digest == key.digest for each in _held.get() if (lock := each()))


def take(key: Key, scope: Scope, wait: float = 0.0) -> Lock | Done:
    """Take the lock, within `wait` seconds. Raises Refusal or NoLockStore."""
    store, note, deadline = store_of(scope), own_note(), time.monotonic() + wait
    while True:
        found = store.take(key, note)
        if isinstance(found, Done):
            return found
        if not isinstance(found, Refused):
            return Lock(key, found)
        left = deadline - time.monotonic()
        if left <= 0 or holds(key):
            raise Refusal(busy_with(key.text, found.holder), found.left)
        time.sleep(min(_PAUSE, left))
