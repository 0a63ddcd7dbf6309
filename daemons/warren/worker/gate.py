"""The gate: admits a task when its quotas have slots, else requeues it and pauses its queue.

It stands in `Task.Strategy`, which Celery calls once for each task type and connection and which
returns the message handler. Tasks that no quota governs keep the stock handler: other queues of the
worker never meet the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from celery import Task
from celery.worker import state
from celery.worker.strategy import default as stock_strategy

from warren.app.queues import counts_returns
from warren.config import Settings
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.worker.admission import Admission, Quotas, Tickets, wait_s
from warren.worker.message_address import source
from warren.worker.message_copy import TICKETS, due_in, is_expired
from warren.worker.requeue import Requeuer

#: Seconds until the gate tries again to resume a queue, after the connection was gone.
BROKER_WAIT = 1.0
#: Seconds until a paused queue is looked at again at the latest: the watchdog may have raised the
#: limit meanwhile.
LONGEST_WAIT = 5.0
#: Seconds that a task without a slot is kept before it goes to the end of a queue that may not wait
#: for it: the message must not spin.
ROUND = 0.1
#: A pause at least this long (seconds) is logged; shorter ones are normal for a full quota.
NOTEWORTHY = 1.0


class Gate:
    """The gate of one worker process, in its main loop."""

    def __init__(self, settings: Settings, admission: Admission, requeuer: Requeuer) -> None:
        self.settings = settings
        self.admission = admission
        self.requeuer = requeuer
        self.paused: set[str] = set()
        self.closed = False

    def guard(self, tasks: Mapping[str, Task]) -> None:
        """Put the gate before every task that a quota governs."""
        for name, task in tasks.items():
            if self.settings.quotas_of(name):
                task.Strategy = self.strategy

    def strategy(self, task: Task, app: Any, consumer: Any, **options: Any) -> Callable[..., None]:
        """Return the message handler of `task` on this connection."""
        return GatedTask(
            self, task, stock_strategy(task, app, consumer, **options), consumer
        ).handle

    def has_slots(self, request: Any) -> bool:
        """Return whether the request may run: it holds slots, or no quota governs its task.

        This is the last check before the pool, whatever a message says, and whatever an earlier
        check found. A request without slots goes back to its queue, and comes to the gate again.
        """
        if TICKETS in request.request_dict or not self.settings.quotas_of(request.task.name):
            return True
        state.task_ready(request)
        request.reject(requeue=True)
        return False

    def send_round(self, consumer: Any, message: Any, connection: int) -> None:
        # Otherwise the broker has delivered it again since.
        if consumer.restart_count == connection:
            self.requeuer.send_back(message, message.ack)

    def requeue(self, consumer: Any, message: Any, again: Callable[[], None]) -> None:
        """Requeue the message, uncounted: a delivery limit must never turn waiting into loss."""
        if counts_returns(consumer.app, source(message)):
            # A quorum queue counts every return and drops a message that came back too often, so it
            # gets a fresh copy.
            self.requeuer.send_back(message, message.ack, again)
        else:
            message.requeue()

    def pause(self, consumer: Any, queue: str, quotas: Quotas) -> None:
        """Stop consuming the queue until its quotas may have slots again. Other queues continue."""
        if queue in self.paused:
            return
        self.paused.add(queue)
        pause = wait_s(quotas)
        # The timer comes first: if the connection breaks during the cancelling, the queue must
        # still be resumed later.
        consumer.timer.call_after(min(pause, LONGEST_WAIT), self._resume, (consumer, queue, quotas))
        consumer.pause_task_queue(queue)
        if pause >= NOTEWORTHY:
            logger().info(
                Event.QUOTA_EXHAUSTED,
                queue=queue,
                quotas=[name for name, _, _ in quotas],
                resumes_in_s=round(pause, 3),
            )

    def _resume(self, consumer: Any, queue: str, quotas: Quotas) -> None:
        if self.closed:
            return
        if queue in consumer.withdrawn:
            # The queue was cancelled by remote control meanwhile: the gate must not resume it.
            self.paused.discard(queue)
            return
        pause = wait_s(quotas)
        if pause <= 0:
            self.paused.discard(queue)
            # What has not left yet (under an alarm the broker takes nothing back) comes first.
            for again in self.requeuer.withdraw(queue):
                again()
            if queue in self.paused:
                return  # Not all of it was admitted: the queue is paused again.
            try:
                consumer.add_task_queue(queue)
                return
            except (*consumer.connection_errors, *consumer.channel_errors, AttributeError):
                # The connection is gone (with no task consumer there is nothing to add to): the
                # queue stays paused over the reconnection, and is resumed from here once there is a
                # connection.
                self.paused.add(queue)
                pause = BROKER_WAIT
        consumer.timer.call_after(min(pause, LONGEST_WAIT), self._resume, (consumer, queue, quotas))


class GatedTask:
    """The gate before one task type on one connection.

    `admit` is Celery's message handler of the task.
    """

    def __init__(self, gate: Gate, task: Task, admit: Callable[..., None], consumer: Any) -> None:
        settings, ledgers = gate.settings, gate.admission.ledgers
        self._gate = gate
        self._task = task
        self._admit = admit
        self._consumer = consumer
        self._connection = consumer.restart_count
        self._quotas = [
            (name, ledgers[name], settings.quotas[name].cost)
            for name in settings.quotas_of(task.name)
        ]
        #: Queues that may wait for a slot of this task.
        self._waiting = frozenset(
            name for name in settings.queues if settings.may_wait(name, task.name)
        )

    def handle(
        self, message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **rest: Any
    ) -> None:
        """Admit the message if its task is due and has slots; else keep it or send it back."""
        delay = due_in(message.headers)
        if delay > 0:
            # No slot is taken for a task that is not due. Unacknowledged, the message is the
            # broker's until then.
            self._consumer.qos.increment_eventually()
            delivery = (message, body, ack, reject, callbacks)
            self._consumer.timer.call_after(delay, self._fall_due, delivery)
            return
        if (
            is_expired(message.headers)
            or message.headers.get("id") in self._consumer.controller.state.revoked
        ):
            # Celery drops it. If Celery does not (a clock that is set back right here),
            # `has_slots` stops the request.
            self._admit(message, body, ack, reject, callbacks, **rest)
            return
        # The quotas of a paused queue were asked a moment ago: they are not asked again for
        # each message that was fetched ahead.
        paused = source(message) in self._gate.paused
        tickets = None if paused else self._gate.admission.reserve(self._quotas)
        if tickets is None:
            self._send_back(message, partial(self.handle, message, body, ack, reject, callbacks))
        else:
            self._admit_with(tickets, message, body, ack, reject, callbacks, **rest)

    def _fall_due(self, *delivery: Any) -> None:
        # Otherwise the broker has delivered it again since.
        if self._consumer.restart_count == self._connection:
            self._consumer.qos.decrement_eventually()
            self.handle(*delivery)

    def _send_back(self, message: Any, again: Callable[[], None]) -> None:
        if source(message) in self._waiting:
            self._gate.requeue(self._consumer, message, again)
            self._gate.pause(self._consumer, source(message), self._quotas)
        else:
            # Tasks that need no slot wait in this queue. The queue is consumed as before, and the
            # message goes to its end.
            self._consumer.timer.call_after(
                ROUND, self._gate.send_round, (self._consumer, message, self._connection)
            )

    def _admit_with(
        self,
        tickets: Tickets,
        message: Any,
        body: Any,
        ack: Any,
        reject: Any,
        callbacks: Any,
        **rest: Any,
    ) -> None:
        admission, task_id = self._gate.admission, message.headers["id"]
        message.headers[TICKETS] = {
            name: [[ticket.slot, ticket.serial] for ticket in own] for name, own in tickets.items()
        }
        # A task that is acknowledged early is so before its call: its slots are settled by the
        # child, or reaped with it.
        answer = admission.settling(task_id, tickets, ack) if self._task.acks_late else ack
        try:
            self._admit(
                message,
                body,
                answer,
                admission.settling(task_id, tickets, reject),
                callbacks,
                **rest,
            )
        except BaseException:
            # It was refused before any process could run it: not sent.
            admission.refund(tickets)
            raise
