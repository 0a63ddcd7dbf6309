"""The calls of a task's author: `with quota("twitter").call() as call: ...`.

A task that a quota governs was admitted with a slot. Its first call uses that slot. Each further
call waits for a slot of its own.
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
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.quotas.headers import pause_after
from warren.quotas.ledger import LEDGER_ERRORS, Ledger
from warren.quotas.ticket import Ticket
from warren.system.process import current_process

#: The slots that admitted the running task and that no call has used yet, by quota name.
held: ContextVar[dict[str, list[Ticket]] | None] = ContextVar("held", default=None)

_ledgers: Mapping[str, Ledger] = {}
#: The slots of ended calls whose settlement failed, by quota name. No other call may use such a
#: slot.
_pending_settlements: dict[str, list[Ticket]] = {}
#: The calls that have begun and have not ended cleanly, each with the thread that makes it.
_under_way: dict[Call, int] = {}
_beginning = threading.RLock()


def _forget_inherited() -> None:
    """Forget the slots of the parent after a fork.

    Otherwise parent and child would both make a call with each slot.
    """
    held.set(None)
    _pending_settlements.clear()
    _under_way.clear()
    global _beginning
    _beginning = threading.RLock()  # another thread of the parent may have held the lock


os.register_at_fork(after_in_child=_forget_inherited)


class NoAllowance(WarrenError):
    """No slot came free before the caller's timeout."""


def use(ledgers: Mapping[str, Ledger]) -> None:
    """Set the ledgers of this process; the worker calls this before its first task."""
    global _ledgers
    _ledgers = ledgers


def quota(name: str) -> Quota:
    """Return the quota `name` of the settings. Raises NoAllowance when there is none."""
    if name not in _ledgers:
        known = ", ".join(sorted(_ledgers)) or "none"
        raise NoAllowance(
            f"quota {name}: expected a [quota:{name}] of this host, found {known}; add the section"
        )
    return Quota(name, _ledgers[name])


def settle_cut_off() -> None:
    """Let the slots of cut-off calls cool. The worker calls this at the end of a task.

    A soft time limit cuts a call off between any two lines. The ticket of the call may then be
    lost, so all open slots of this process cool. When another thread of the task is making a call,
    no slot cools yet: the slots stay open until a later task or this process ends. No thread can
    begin a call while this function runs.
    """
    with _beginning:
        if not _under_way or set(_under_way.values()) != {threading.get_ident()}:
            return
        try:
            for ledger in _ledgers.values():
                ledger.abandon(current_process())
            _under_way.clear()
        except LEDGER_ERRORS as problem:
            logger().warning(
                Event.LEDGER_BUSY,
                reason=str(problem),
                consequence="the slots are settled after the next task",
            )


class Quota:
    """One quota, as a task's author sees it."""

    def __init__(self, name: str, ledger: Ledger) -> None:
        self.name = name
        self.ledger = ledger

    def call(self, timeout: float | None = None) -> Call:
        """Return one call to the provider, for a `with` block that should hold only that call.

        timeout: seconds to wait for a slot; None: no limit. When the timeout passes, the block
        raises NoAllowance.
        """
        return Call(self, timeout)

    def take(self, timeout: float | None) -> Ticket:
        """Return the slot that admitted the task, or else a new slot as soon as one is free.

        timeout: seconds to wait; None: no limit. When the timeout passes, raises NoAllowance.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                ticket = self._admitted_with() or self._reserve()
                if ticket:
                    return ticket
                wait = self.ledger.wait_s()
            except LEDGER_ERRORS:
                wait = None
            # Wait a second at most: another process may release a slot earlier than the ledger
            # predicts now.
            pause = 0.25 if wait is None else min(max(wait, 0.005), 1.0)
            if deadline is not None and time.monotonic() + pause > deadline:
                raise NoAllowance(
                    f"quota {self.name} had no free slot within {timeout:g} s; try again later"
                )
            time.sleep(pause)

    def release(self, ticket: Ticket, *, sent: bool, answered: bool) -> None:
        """Settle or refund the slot of a call that has ended, and settle the pending slots."""
        try:
            if sent:
                self.ledger.settle([ticket], answered=answered)
            else:
                self.ledger.refund([ticket])
            self._retry_settlements()
        except LEDGER_ERRORS as problem:
            # The call is made, and the task need not fail because of the ledger. The slot stays
            # open until a retry settles it, or until this process ends. The slot must not come into
            # `held`, where the next call would use the slot once more.
            _pending_settlements.setdefault(self.name, []).append(ticket)
            logger().warning(
                Event.LEDGER_BUSY,
                quota=self.name,
                reason=str(problem),
                consequence="the slot is settled later",
            )

    def _admitted_with(self) -> Ticket | None:
        mine = (held.get() or {}).get(self.name)
        while mine:
            # The claim is repeated here: the ledger may have been damaged and created again since
            # the task was admitted, and a new ledger does not know this slot.
            if self.ledger.claim(mine[-1:], current_process()):
                return mine.pop()
            mine.pop()
        return None

    def _reserve(self) -> Ticket | None:
        self._retry_settlements()
        tickets = self.ledger.reserve(1, current_process())
        return tickets[0] if tickets else None

    def _retry_settlements(self) -> None:
        pending = _pending_settlements.get(self.name)
        if pending:
            self.ledger.settle(pending, answered=False)
            del _pending_settlements[self.name]


class Call:
    """One call. Its slot is open inside the `with` block and cools from the end of the block."""

    def __init__(self, quota: Quota, timeout: float | None) -> None:
        self._quota = quota
        self._timeout = timeout
        self._sent = True
        self._ticket: Ticket | None = None

    @property
    def ticket(self) -> Ticket | None:
        """The slot of the call that is under way; None outside the `with` block."""
        return self._ticket

    def __enter__(self) -> Call:
        if self._ticket is not None:
            raise RuntimeError(
                "expected a call of its own for each `with` block, found a call that is under way"
            )
        self._sent = True
        with _beginning:
            # Registered before the call has a slot: wherever the call is cut off, the end of the
            # task then looks for a slot.
            _under_way[self] = threading.get_ident()
        try:
            self._ticket = self._quota.take(self._timeout)
        except NoAllowance:
            _under_way.pop(self, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            # An error does not say whether or when the provider counts the call.
            self._quota.release(ticket, sent=self._sent, answered=kind is None)
        _under_way.pop(self, None)

    def observe(self, status: int, headers: Mapping[str, str]) -> None:
        """Read a response: a 429 or 503 with Retry-After closes the quota for that time."""
        seconds = pause_after(status, headers, datetime.now(UTC))
        if seconds:
            try:
                if self._quota.ledger.close_for(seconds):
                    logger().warning(
                        Event.QUOTA_CLOSED, quota=self._quota.name, status=status, pause_s=seconds
                    )
            except LEDGER_ERRORS as problem:
                logger().warning(
                    Event.LEDGER_BUSY,
                    quota=self._quota.name,
                    reason=str(problem),
                    consequence="calls do not pause, although the provider asked for a pause",
                )

    def not_sent(self) -> None:
        """Release the slot unused.

        Only when the call provably never left, as after a refused connection.
        """
        self._sent = False
