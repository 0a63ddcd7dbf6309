"""One thread a process that renews the leases of the locks that the process holds.

The thread knows locks only by weak references. A lock that nobody uses any more, because its run
was cut off, is not renewed, and so expires.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import ref

from warren.tasks.lock_interface import NoLockStore

#: Seconds between two renewals: six in each lease, so that a late one does not lose the lock.
INTERVAL = 1.5


class Renewable(Protocol):
    """A lease that ends unless it is renewed."""

    def renew(self) -> None:
        """Renew the lease. Raises NoLockStore."""


_guard = threading.Lock()
_leases: dict[int, ref[Renewable]] = {}
_wake = threading.Event()
_thread: threading.Thread | None = None
_idle = False


def add(lease: Renewable) -> None:
    """Renew this lease from now on."""
    global _thread
    with _guard:
        _leases[id(lease)] = ref(lease)
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_renew_all, name="warren-locks", daemon=True)
            _thread.start()
        elif _idle:
            _wake.set()


def remove(lease: Renewable) -> None:
    """Renew this lease no more."""
    _leases.pop(id(lease), None)


def _renew_all() -> None:
    global _idle
    while True:
        with _guard:
            _idle = not _leases
            _wake.clear()
        # Without leases the thread sleeps. A process with one short lock after the other does not
        # wake it for each of them.
        _wake.wait(None if _idle else INTERVAL)
        if not _idle:
            for number, known in list(_leases.items()):
                _renew(number, known)


def _renew(number: int, known: ref[Renewable]) -> None:
    lease = known()
    if lease is not None:
        try:
            lease.renew()
            return
        except NoLockStore:
            return  # tried again after the interval, until the lease has ended
        except Exception:  # noqa: BLE001, S110  the thread serves other leases; this one ends
            pass
    with _guard:
        if _leases.get(number) is known:  # not a new lease that has the number by now
            del _leases[number]


def _forget_inherited() -> None:
    """Forget the parent's leases after a fork: the parent renews them."""
    global _guard, _wake, _thread, _idle
    _guard, _wake, _thread, _idle = threading.Lock(), threading.Event(), None, False
    _leases.clear()


os.register_at_fork(after_in_child=_forget_inherited)
