"""What task authors use for calls: `with quota("twitter").call() as call: ...`.

A task that a quota governs was admitted with a slot; its first call uses that one. Each further call waits for a slot of its own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType

from warren.errors import WarrenError
from warren.events import Event
from warren.log import get
from warren.process import this
from warren.quota.headers import retry_after
from warren.quota.ledger import LEDGER_ERRORS, Ledger
from warren.quota.slots import Ticket

#: The slots that admitted the running task and were not used for a call yet, by quota.
held: ContextVar[dict[str, list[Ticket]] | None] = ContextVar("held", default=None)

_book: Mapping[str, Ledger] = {}
#: The slots of calls that are over and could not be settled then, by quota; they are never used for another call.
_owed: dict[str, list[Ticket]] = {}
#: The calls that have begun and not ended in order, and the threads that make them.
_under_way: dict[Call, int] = {}
_beginning = threading.RLock()


def _forget_inherited() -> None:
    """A process that a task forks has no slots: two processes would call with each of them."""
    held.set(None)
    _owed.clear()
    _under_way.clear()
    global _beginning
    _beginning = threading.RLock()  # another thread of the parent may have had it


os.register_at_fork(after_in_child=_forget_inherited)


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


def settle_cut_off() -> None:
    """At the end of a task: lets the slots cool of calls that were cut off, as a soft time limit does between any two lines.

    Such a slot may be known to nobody, so all that this process has cool. While another thread of the task makes a call they stay
    open instead, until the end of a later task or of this process; and none begins one meanwhile.
    """
    with _beginning:
        if not _under_way or set(_under_way.values()) != {threading.get_ident()}:
            return
        try:
            for ledger in _book.values():
                ledger.renounce(this())
            _under_way.clear()
        except LEDGER_ERRORS as trouble:
            get().warning(Event.LEDGER_BUSY, reason=str(trouble), consequence="the slots are settled after the next task")


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
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                ticket = self._mine() or self._another()
                if ticket:
                    return ticket
                wait = self.ledger.wait_s()
            except LEDGER_ERRORS:
                wait = None
            # At most a second at a time: another process may give back a slot earlier than the ledger says now.
            pause = 0.25 if wait is None else min(max(wait, 0.005), 1.0)
            if deadline is not None and time.monotonic() + pause > deadline:
                raise NoAllowance(f"quota {self.name} had no free slot within {timeout:g} s; try again later")
            time.sleep(pause)

    def give_back(self, ticket: Ticket, *, sent: bool, answered: bool) -> None:
        """Settles or refunds the slot of a call that is over, and what was left of earlier ones."""
        try:
            if sent:
                self.ledger.settle([ticket], answered=answered)
            else:
                self.ledger.refund([ticket])
            self._pay()
        except LEDGER_ERRORS as trouble:
            # The call is made, and the task need not fail for this. The slot stays open until it can be settled, or this process
            # ends; it must not come into `held`, where the next call would use it once more.
            _owed.setdefault(self.name, []).append(ticket)
            get().warning(Event.LEDGER_BUSY, quota=self.name, reason=str(trouble), consequence="the slot is settled later")

    def _mine(self) -> Ticket | None:
        mine = (held.get() or {}).get(self.name)
        while mine:
            # Asked again: a ledger that was damaged and made anew since the task was admitted knows nothing of this slot.
            if self.ledger.claim(mine[-1:], this()):
                return mine.pop()
            mine.pop()
        return None

    def _another(self) -> Ticket | None:
        self._pay()
        tickets = self.ledger.reserve(1, this())
        return tickets[0] if tickets else None

    def _pay(self) -> None:
        owed = _owed.get(self.name)
        if owed:
            self.ledger.settle(owed, answered=False)
            del _owed[self.name]


class Call:
    """One call. Its slot is open inside the `with` block and cools from its end."""

    def __init__(self, quota: Quota, timeout: float | None) -> None:
        self._quota = quota
        self._timeout = timeout
        self._sent = True
        self._ticket: Ticket | None = None

    @property
    def ticket(self) -> Ticket | None:
        """The slot of the call that is under way."""
        return self._ticket

    def __enter__(self) -> Call:
        if self._ticket is not None:
            raise RuntimeError("expected a call of its own for each `with` block, found one that is under way")
        self._sent = True
        with _beginning:
            _under_way[self] = threading.get_ident()  # before it has a slot: cut off anywhere, the end of the task looks for one
        try:
            self._ticket = self._quota.take(self._timeout)
        except NoAllowance:
            _under_way.pop(self, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            # An error says nothing about whether the provider has counted the call, nor about when it will.
            self._quota.give_back(ticket, sent=self._sent, answered=kind is None)
        _under_way.pop(self, None)

    def observe(self, status: int, headers: Mapping[str, str]) -> None:
        """Takes in what a response says: a 429 or 503 with Retry-After closes the quota for so long."""
        seconds = retry_after(headers, datetime.now(UTC)) if status in (429, 503) else None
        if seconds:
            try:
                if self._quota.ledger.close_for(seconds):
                    get().warning(Event.QUOTA_CLOSED, quota=self._quota.name, status=status, pause_s=seconds)
            except LEDGER_ERRORS as trouble:
                get().warning(Event.LEDGER_BUSY, quota=self._quota.name, reason=str(trouble), consequence="the pause is not kept")

    def not_sent(self) -> None:
        """Gives the slot back: only when the call provably never left, such as a refused connection."""
        self._sent = False
