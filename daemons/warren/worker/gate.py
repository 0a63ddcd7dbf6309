"""The gate: admits a task when its quotas have slots for it, else pauses its queue and hands the message back.

It stands in `Task.Strategy`, which Celery calls once for each task type and connection and which returns the message handler.
Tasks that no quota governs keep the stock handler: other queues of the worker never meet the gate.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from celery import Task
from celery.worker.strategy import default as stock_strategy

from warren.broker.queues import EXCHANGE
from warren.config import Settings
from warren.events import Event
from warren.log import get
from warren.process import this
from warren.quota.book import Book
from warren.quota.ledger import LEDGER_ERRORS, Ledger, LedgerBusy
from warren.quota.slots import Ticket
from warren.worker.copies import Copies
from warren.worker.message import TICKETS

#: Seconds that the worker's main loop waits for a ledger's lock: one stopped holder must not hold up its heart and other queues.
PATIENCE = 0.05
#: Seconds until a paused queue is looked at again when nobody can know: every slot is open.
UNKNOWN_WAIT = 0.1
#: Seconds until a ledger whose lock was held is asked again: long beside PATIENCE, so that the main loop mostly turns.
BUSY_WAIT = 0.5
#: Seconds until it is tried again after the ledger or the broker could not be reached.
TROUBLE_WAIT = 1.0
#: Seconds until a paused queue is looked at again at the latest: the watchdog may have raised the limit meanwhile.
LONGEST_WAIT = 5.0
#: A pause at least this long (seconds) is worth a line in the log; shorter ones are how a full quota runs.
NOTEWORTHY = 1.0

Tickets = dict[str, tuple[Ticket, ...]]
#: The quotas of a task: name, ledger, cost (slots).
Quotas = list[tuple[str, Ledger, int]]


class Gate:
    """The gate of one worker process, in its main loop."""

    def __init__(self, settings: Settings, copies: Copies) -> None:
        self.settings = settings
        self.book = Book(settings, PATIENCE)
        self.copies = copies
        self.paused: set[str] = set()
        self.closed = False
        self._owed: deque[tuple[str, Callable[[], object]]] = deque()

    def guard(self, tasks: Mapping[str, Task]) -> None:
        """Puts the gate before every task that a quota governs."""
        for name, task in tasks.items():
            if self.settings.quotas_of(name):
                task.Strategy = self.strategy

    def strategy(self, task: Task, app: Any, consumer: Any, **options: Any) -> Callable[..., None]:
        """The message handler of `task` on this connection."""
        admit = stock_strategy(task, app, consumer, **options)
        queue = self.settings.queue_of(task.name)
        quotas = [(name, self.book[name], self.settings.quotas[name].cost) for name in self.settings.quotas_of(task.name)]
        connection = consumer.restart_count

        def fall_due(*delivery: Any) -> None:
            if consumer.restart_count == connection:  # else the broker has delivered it again since
                consumer.qos.decrement_eventually()
                handle(*delivery)

        def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **rest: Any) -> None:
            delay = _due_in(message.headers)
            if delay > 0:
                # No slot is taken for a task that is not due. Unacknowledged, it is the broker's until then.
                consumer.qos.increment_eventually()
                consumer.timer.call_after(delay, fall_due, (message, body, ack, reject, callbacks))
                return
            if _expired(message.headers) or message.headers.get("id") in consumer.controller.state.revoked:
                admit(message, body, ack, reject, callbacks, **rest)  # Celery lets it drop: it will not call
                return
            # Of a paused queue the quotas were asked a moment ago: not once more for each message that was fetched ahead.
            tickets = None if queue in self.paused else self._reserve(quotas)
            if tickets is None:
                self._hand_back(consumer, message, queue, partial(handle, message, body, ack, reject, callbacks))
                self._pause(consumer, queue, quotas)
                return
            message.headers[TICKETS] = {name: [[ticket.slot, ticket.serial] for ticket in own] for name, own in tickets.items()}
            # A task that is acknowledged early is so before its call: its slots are settled by the child, or reaped with it.
            answer = self._settling(tickets, ack) if task.acks_late else ack
            try:
                admit(message, body, answer, self._settling(tickets, reject), callbacks, **rest)
            except BaseException:
                self._refund(tickets)  # refused before any process could run it: not sent
                raise

        return handle

    def drop(self, request: Any) -> None:
        """Frees the slots of a request that no pool child has taken up, or that it takes up too late: then it may not call."""
        given = request.request_dict.get(TICKETS) or {}
        for name in given.keys() & self.book.keys():
            tickets = [Ticket(*ticket) for ticket in given[name]]
            self._give_back(name, partial(self.book[name].take_back, tickets, this()))

    def pay(self) -> None:
        """Gives back what a ledger did not take before: else those slots would be open for as long as this worker lives."""
        while self._owed:
            name, give_back = self._owed.popleft()
            try:
                give_back()
            except LEDGER_ERRORS:
                self._owed.append((name, give_back))
                return  # a stopped holder of one lock costs the main loop one wait, however much is owed

    # -- slots -----------------------------------------------------------------------------------------------------

    def _reserve(self, quotas: Quotas) -> Tickets | None:
        """Slots of every quota, or of none. Always in the order of their names."""
        tickets: Tickets = {}
        for name, ledger, cost in quotas:
            try:
                own = ledger.reserve(cost, this())
            except LedgerBusy as busy:
                get().warning(Event.LEDGER_BUSY, quota=name, reason=str(busy))
                own = None
            except LEDGER_ERRORS as error:
                # Nothing is admitted on a ledger that cannot be read; the watchdog mends it.
                get().error(Event.LEDGER_DAMAGED, quota=name, reason=str(error))
                own = None
            if own is None:
                self._refund(tickets)
                return None
            tickets[name] = own
        return tickets

    def _refund(self, tickets: Tickets) -> None:
        for name, own in tickets.items():
            self._give_back(name, partial(self.book[name].refund, own))

    def _settling(self, tickets: Tickets, answer: Callable[..., Any]) -> Callable[..., Any]:
        """`answer` (ack or reject), which first settles what a killed pool child did not: its call is of unknown outcome."""

        def settle_and_answer(*arguments: Any) -> Any:
            for name, own in tickets.items():
                self._give_back(name, partial(self.book[name].settle, own, answered=False))
            return answer(*arguments)

        return settle_and_answer

    def _give_back(self, name: str, give_back: Callable[[], object]) -> None:
        try:
            give_back()
        except LEDGER_ERRORS as error:
            self._owed.append((name, give_back))
            get().warning(Event.LEDGER_BUSY, quota=name, reason=str(error), consequence="the slots are given back later")

    # -- queue -----------------------------------------------------------------------------------------------------

    def _hand_back(self, consumer: Any, message: Any, queue: str, again: Callable[[], None]) -> None:
        """Gives the message back to its queue, uncounted: a delivery limit must never turn waiting into loss."""
        if queue not in self._counting(consumer.app) and self._came_from(message, queue):
            message.requeue()
            return
        # A quorum queue counts every return and drops a message that came back too often, so it gets a fresh copy.
        self.copies.give(message, "", queue, message.ack, again)

    def _came_from(self, message: Any, queue: str) -> bool:
        """Whether the message came by the queue's own binding. One sent elsewhere by hand goes to the queue where it belongs."""
        info = message.delivery_info or {}
        return info.get("exchange") == EXCHANGE and info.get("routing_key") == self.settings.queues[queue].binding_key

    @staticmethod
    def _counting(app: Any) -> frozenset[str]:
        """The queues that count how often a message came back."""
        queues = app.conf.task_queues
        return frozenset(queue.name for queue in queues if (queue.queue_arguments or {}).get("x-queue-type") == "quorum")

    def _pause(self, consumer: Any, queue: str, quotas: Quotas) -> None:
        """Stops consuming the queue until its quotas may have slots again. Other queues go on."""
        if queue in self.paused:
            return
        self.paused.add(queue)
        wait = self._wait(quotas)
        # First of all: a connection that breaks in the cancelling must not leave a queue that is never taken up again.
        consumer.timer.call_after(min(wait, LONGEST_WAIT), self._resume, (consumer, queue, quotas))
        consumer.cancel_task_queue(queue)
        if wait >= NOTEWORTHY:
            get().info(Event.QUOTA_EXHAUSTED, queue=queue, quotas=[name for name, _, _ in quotas], resumes_in_s=round(wait, 3))

    def _resume(self, consumer: Any, queue: str, quotas: Quotas) -> None:
        if self.closed:
            return
        wait = self._wait(quotas)
        if wait <= 0:
            self.paused.discard(queue)
            # What has not left yet (under an alarm the broker takes nothing back) comes first.
            for again in self.copies.take_back(queue):
                again()
            if queue in self.paused:
                return  # not all of it was admitted: the queue is paused anew
            try:
                consumer.add_task_queue(queue)
                return
            except (*consumer.connection_errors, *consumer.channel_errors, AttributeError):
                # The connection is gone (with no task consumer there is nothing to add to): the queue stays paused over the
                # reconnection, and is taken up again from here once there is a connection.
                self.paused.add(queue)
                wait = TROUBLE_WAIT
        consumer.timer.call_after(min(wait, LONGEST_WAIT), self._resume, (consumer, queue, quotas))

    @staticmethod
    def _wait(quotas: Quotas) -> float:
        """Seconds until all of these quotas may have a free slot, as far as their ledgers can tell."""
        try:
            waits = [ledger.wait_s(cost) for _, ledger, cost in quotas]
        except LedgerBusy:
            return BUSY_WAIT
        except LEDGER_ERRORS:
            return TROUBLE_WAIT
        return max(UNKNOWN_WAIT if wait is None else wait for wait in waits)


def _expired(headers: Mapping[str, Any]) -> bool:
    """Whether the task was to run before now; Celery looks again, later, and finds the same."""
    return _seconds_until(headers.get("expires")) < 0


def _due_in(headers: Mapping[str, Any]) -> float:
    """Seconds until the task's ETA; 0 or less when it is due, has none, or has one that Celery will refuse."""
    return _seconds_until(headers.get("eta"))


def _seconds_until(text: Any) -> float:
    """Seconds until a moment in ISO 8601, UTC unless it says otherwise; 0 for what is none."""
    if not isinstance(text, str):
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()
