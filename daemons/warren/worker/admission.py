"""The slots of tasks on the worker's side.

The worker takes slots as it admits a task, and releases them when no pool child will use them for a
call. The child's side is in child_slots.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.quotas.ledger import LEDGER_ERRORS, Ledger, LedgerBusy
from warren.quotas.ledgers import Ledgers
from warren.quotas.ticket import Ticket
from warren.system.process import current_process
from warren.worker.message_copy import TICKETS
from warren.worker.task_processes import TaskProcesses, now

#: Seconds until the worker asks a ledger again whose lock was held. This is much longer than the
#: wait for a lock, so that the main loop is mostly free.
BUSY_WAIT = 0.5
#: Seconds until a ledger that could not be read is asked again.
ERROR_WAIT = 1.0
#: Seconds until the worker asks a ledger again whose slots are all open: nobody knows when one of
#: them becomes free.
UNKNOWN_WAIT = 0.1

Tickets = dict[str, tuple[Ticket, ...]]
#: The quotas of a task: name, ledger, cost (slots).
Quotas = list[tuple[str, Ledger, int]]


class Admission:
    """Takes and releases slots for one worker process, in its main loop.

    No ledger of `ledgers` may wait long for its lock.
    """

    def __init__(self, ledgers: Ledgers, task_processes: TaskProcesses) -> None:
        self.ledgers = ledgers
        self._task_processes = task_processes
        self._pending: deque[tuple[str, Callable[[], object]]] = deque()

    def reserve(self, quotas: Quotas) -> Tickets | None:
        """Take slots of every quota, ordered by name; return None if a quota has too few."""
        tickets: Tickets = {}
        for name, ledger, cost in quotas:
            try:
                own = ledger.reserve(cost, current_process())
            except LedgerBusy as busy:
                logger().warning(Event.LEDGER_BUSY, quota=name, reason=str(busy))
                own = None
            except LEDGER_ERRORS as error:
                # Nothing is admitted while a ledger cannot be read. The watchdog repairs the
                # ledger.
                logger().error(Event.LEDGER_DAMAGED, quota=name, reason=str(error))
                own = None
            if own is None:
                self.refund(tickets)
                return None
            tickets[name] = own
        return tickets

    def refund(self, tickets: Tickets) -> None:
        """Release the slots at once: no process has used them for a call, and none will."""
        for name, own in tickets.items():
            self._release(name, partial(self.ledgers[name].refund, own))

    def settling(
        self, task_id: str, tickets: Tickets, answer: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Return a function that settles `tickets` and then calls `answer` (ack or reject).

        The function settles the slots that a killed pool child has left: the outcome of its call is
        unknown. While a process that the task has started still lives, the slots stay open
        (task_processes.py).
        """
        since = now()  # Before any pool child begins with the task.

        def settle() -> None:
            for name, own in tickets.items():
                self._release(name, partial(self.ledgers[name].settle, own, answered=False))

        def settle_and_answer(*arguments: Any) -> Any:
            self._task_processes.settle(task_id, since, settle)
            return answer(*arguments)

        return settle_and_answer

    def drop(self, request: Any) -> None:
        """Release the slots of a request that no pool child has begun, or that a child begins too
        late.

        After this the child may not call.
        """
        named = request.request_dict.get(TICKETS) or {}
        for name in named.keys() & self.ledgers.keys():
            tickets = [Ticket(*ticket) for ticket in named[name]]
            self._release(name, partial(self.ledgers[name].reclaim, tickets, current_process()))

    def retry_pending(self) -> None:
        """Release the slots whose release a ledger did not take before.

        Otherwise those slots would be open for as long as this worker lives.
        """
        while self._pending:
            name, release = self._pending.popleft()
            try:
                release()
            except LEDGER_ERRORS:
                self._pending.append((name, release))
                # A stopped holder of one lock costs the main loop one wait, however many releases
                # are pending.
                return

    def _release(self, name: str, release: Callable[[], object]) -> None:
        try:
            release()
        except LEDGER_ERRORS as error:
            self._pending.append((name, release))
            logger().warning(
                Event.LEDGER_BUSY,
                quota=name,
                reason=str(error),
                consequence="the slots are released later",
            )


def wait_s(quotas: Quotas) -> float:
    """Return the seconds until all these quotas may have a free slot, by their ledgers."""
    try:
        waits = [ledger.wait_s(cost) for _, ledger, cost in quotas]
    except LedgerBusy:
        return BUSY_WAIT
    except LEDGER_ERRORS:
        return ERROR_WAIT
    return max(UNKNOWN_WAIT if wait is None else wait for wait in waits)
