"""What task authors use for calls: `with quota("twitter").call() as call: ...`.

A task that a quota governs was admitted with a slot; its first call uses that one. Each further call waits for a slot of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType

from warren.errors import WarrenError
from warren.process import this
from warren.quota.headers import retry_after
from warren.quota.ledger import Ledger, LedgerBusy
from warren.quota.slots import Ticket

#: The slots that admitted the running task and were not used for a call yet, by quota.
held: ContextVar[dict[str, list[Ticket]] | None] = ContextVar("held", default=None)

_book: Mapping[str, Ledger] = {}


class NoAllowance(WarrenError):
    """No slot came free within the time that the caller was ready to wait."""


def use(book: Mapping[str, Ledger]) -> None:
    """Says which ledgers this process has; the worker does it before its first task."""
    global _book
    _book = book


def quota(name: str) -> Quota:
    """The quota `name` of the settings. Raises NoAllowance where this process has none of that name."""
    if name not in _book:
        known = ", ".join(sorted(_book)) or "none"
        raise NoAllowance(f"quota {name}: expected a [quota:{name}] of this host, found {known}; add the section")
    return Quota(name, _book[name])


class Quota:
    """One quota, as a task sees it."""

    def __init__(self, name: str, ledger: Ledger) -> None:
        self.name = name
        self.ledger = ledger

    def call(self, timeout: float | None = None) -> Call:
        """One call to the provider, for a `with` block that should hold nothing but that call.

        timeout: seconds to wait for a slot, None for as long as it takes. Raises NoAllowance when the time is over.
        """
        return Call(self, timeout)

    def take(self, timeout: float | None) -> Ticket:
        """The slot that admitted the task, else one of its own, as soon as there is one."""
        mine = (held.get() or {}).get(self.name)
        if mine:
            return mine.pop()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                tickets = self.ledger.reserve(1, this())
                if tickets:
                    return tickets[0]
                wait = self.ledger.wait_s()
            except LedgerBusy:
                wait = None
            # At most a second at a time: another process may give back a slot earlier than the ledger says now.
            pause = 0.25 if wait is None else min(max(wait, 0.005), 1.0)
            if deadline is not None and time.monotonic() + pause > deadline:
                raise NoAllowance(f"quota {self.name}: expected a free slot within {timeout:g} s, found none; try again later")
            time.sleep(pause)


class Call:
    """One call. Its slot is open inside the `with` block and cools from its end."""

    def __init__(self, quota: Quota, timeout: float | None) -> None:
        self._quota = quota
        self._timeout = timeout
        self._sent = True
        self._ticket: Ticket | None = None

    def __enter__(self) -> Call:
        self._ticket = self._quota.take(self._timeout)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._ticket is None:
            return
        try:
            if not self._sent:
                self._quota.ledger.refund([self._ticket])
            else:
                # An error says nothing about whether the provider has counted the call, nor about when it will.
                self._quota.ledger.settle([self._ticket], answered=kind is None)
        except LedgerBusy:
            # The slot stays open with this process as its owner; the end of the task settles it, or the end of the process.
            (held.get() or {}).setdefault(self._quota.name, []).append(self._ticket)

    def observe(self, status: int, headers: Mapping[str, str]) -> None:
        """Takes in what a response says: a 429 or 503 with Retry-After closes the quota for so long."""
        seconds = retry_after(headers, datetime.now(UTC)) if status in (429, 503) else None
        if seconds:
            self._quota.ledger.close_for(seconds)

    def not_sent(self) -> None:
        """Gives the slot back: only when the call provably never left, such as a refused connection."""
        self._sent = False
