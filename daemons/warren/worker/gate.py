"""The gate: admits a task when its quotas have slots, else requeues it and pauses its queue.

The gate is in `Task.Strategy`, which returns the message handler. Celery calls it once for each
task type and connection. Tasks that no quota governs keep Celery's own handler, so they never meet
the gate.
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

#: Seconds until the gate tries again to resume a queue, after it found no connection.
BROKER_WAIT = 1.0
#: The most seconds until the gate looks at a paused queue again: the watchdog may have raised the
#: limit meanwhile.
LONGEST_WAIT = 5.0
#: Some queues may not pause for a task without a slot. The worker keeps such a task for so many
#: seconds, and then sends it to the end of its queue. Without the pause the message would circulate
#: without rest.
ROUND = 0.1
#: Seconds. A pause of at least this length is logged; shorter pauses are normal for a full quota.
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

        This is the last check before the pool. The check relies on no field of the message, and on
        no earlier check. A request without slots goes back to its queue, and comes to the gate
        again.
        """
        if TICKETS in request.request_dict or not self.settings.quotas_of(request.task.name):
            return True
        state.task_ready(request)
        request.reject(requeue=True)
        return False

    def send_round(self, consumer: Any, message: Any, connection: int) -> None:
        # Otherwise the connection broke, and the broker delivers the message again.
        if consumer.restart_count == connection:
            self.requeuer.send_back(message, message.ack)

    def requeue(self, consumer: Any, message: Any, again: Callable[[], None]) -> None:
        """Requeue the message without a count, so that no delivery limit drops a waiting task."""
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
        # Set the timer first: if the connection breaks while the queue is cancelled, the queue must
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
            # Remote control has cancelled the queue meanwhile, and the gate must not resume it.
            self.paused.discard(queue)
            return
        pause = wait_s(quotas)
        if pause <= 0:
            self.paused.discard(queue)
            # Messages that have not left yet come first: under an alarm the broker takes no message
            # back.
            for again in self.requeuer.withdraw(queue):
                again()
            if queue in self.paused:
                return  # not all of them were admitted, so the queue is paused again
            try:
                consumer.add_task_queue(queue)
                return
            except (*consumer.connection_errors, *consumer.channel_errors, AttributeError):
                # The connection is gone, and there is no consumer to add the queue to. The queue
                # stays paused over the reconnection, and this function resumes it once there is a
                # connection.
                self.paused.add(queue)
                pause = BROKER_WAIT
        consumer.timer.call_after(min(pause, LONGEST_WAIT), self._resume, (consumer, queue, quotas))


class GatedTask:
    """The gate before one task type on one connection.

    admit: Celery's message handler of the task.
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
        """Admit the message if its task is due and gets slots; else keep it or send it back."""
        delay = due_in(message.headers)
        if delay > 0:
            # No slot is taken for a task that is not due. The message stays unacknowledged until
            # then.
            self._consumer.qos.increment_eventually()
            delivery = (message, body, ack, reject, callbacks)
            self._consumer.timer.call_after(delay, self._fall_due, delivery)
            return
        if (
            is_expired(message.headers)
            or message.headers.get("id") in self._consumer.controller.state.revoked
        ):
            # Celery drops an expired message. If it does not, because the clock is set back right
            # here, `has_slots` stops the request.
            self._admit(message, body, ack, reject, callbacks, **rest)
            return
        # The ledgers of a paused queue were asked a moment ago. They are not asked again for each
        # message that was fetched ahead.
        paused = source(message) in self._gate.paused
        tickets = None if paused else self._gate.admission.reserve(self._quotas)
        if tickets is None:
            self._send_back(message, partial(self.handle, message, body, ack, reject, callbacks))
        else:
            self._admit_with(tickets, message, body, ack, reject, callbacks, **rest)

    def _fall_due(self, *delivery: Any) -> None:
        # Otherwise the connection broke, and the broker delivers the message again.
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
        # A task that is acknowledged early is acknowledged before its call. The child settles its
        # slots, or the watchdog reaps them with the child.
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
            # The task was refused before any process could run it, so its slots count as not used.
            admission.refund(tickets)
            raise
