"""The parts of one worker, made and connected with each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from warren.broker.due import NEAR
from warren.broker.queue_names import are_quorum
from warren.broker.rabbitmq import delay_queues
from warren.config import Settings
from warren.quotas.ledgers import Ledgers
from warren.runtime.cancelled_queues import CancelledQueues
from warren.worker.admission import Admission
from warren.worker.callbacks import Callbacks
from warren.worker.consumer import Consumer
from warren.worker.crash_counts import CrashCounts
from warren.worker.current_message import CurrentMessage
from warren.worker.dead_letters import DeadLetters
from warren.worker.delayed_tasks import DelayedTasks
from warren.worker.drain import Drain
from warren.worker.duplicate_ticks import DuplicateTicks
from warren.worker.foreign_tasks import ForeignTasks
from warren.worker.gate import Gate
from warren.worker.message_stages import MessageStages
from warren.worker.quarantine import Quarantine
from warren.worker.redelivery import Redelivery
from warren.worker.rejection_flood import Flood
from warren.worker.request import Request, request_class
from warren.worker.requeue import Requeuer
from warren.worker.result_storing import ResultStoring
from warren.worker.revokes import Revokes
from warren.worker.running_tasks import RunningTasks
from warren.worker.task_guard import TaskGuard
from warren.worker.task_processes import TaskProcesses
from warren.worker.unknown_tasks import UnknownTasks

#: Seconds that the main loop waits for a ledger's lock. A stopped process that holds the lock must
#: not delay the heartbeat and other queues.
TIMEOUT = 0.05


class Parts:
    """The parts of a worker, except its daemon and its main loop."""

    def __init__(self, settings: Settings, name: str, program: str) -> None:
        options = settings.worker(name)
        directory = settings.app.state_dir / "worker"
        self.ledgers = Ledgers(settings)
        self.requeuer = Requeuer()
        self.crash_counts = CrashCounts(directory, program, options.concurrency)
        self.current_message = CurrentMessage(directory, program)
        self.revokes = Revokes(directory, program)
        self.cancelled = CancelledQueues(settings.app.state_dir, program)
        self.result_storing = ResultStoring(options.concurrency)
        self.quarantine = Quarantine(self.crash_counts)
        near = settings.broker.visibility_timeout / 3 if settings.broker.kind == "redis" else NEAR
        self.delayed_tasks = DelayedTasks(
            self.requeuer, near, partial(delay_queues.note, settings.app.state_dir)
        )
        self.task_processes = TaskProcesses()
        self.admission = Admission(Ledgers(settings, TIMEOUT), self.task_processes)
        self.callbacks = Callbacks()
        self.gate = Gate(settings, self.admission, self.requeuer)
        self.flood = Flood(self.requeuer)
        self.redelivery = Redelivery(self.requeuer)
        self.duplicate_ticks = DuplicateTicks(directory / "ticks", self.delayed_tasks.send_away)
        self.drain = Drain(self.gate, self.requeuer, self.callbacks, self.task_processes.end_within)
        self.task_guard = TaskGuard()
        self.running_tasks = RunningTasks()
        self.dead_letters = DeadLetters(
            self.requeuer,
            settings.host,
            name,
            settings.app.state_dir / "rejected",
            "quorum" if are_quorum(settings) else "classic",
        )
        self.foreign_tasks = ForeignTasks(
            self.requeuer, settings.app.state_dir / "returning" / name, self.dead_letters
        )
        self.unknown_tasks = UnknownTasks(
            self.requeuer, settings.broker.unknown_task_timeout, self.foreign_tasks.keep
        )

    def consumer(
        self, write_heartbeat: Callable[[], None], refuse_queue: Callable[[str, Exception], None]
    ) -> Callable[..., Consumer]:
        """Return a function that makes the worker's consumer from Celery's arguments."""
        stages = MessageStages(
            self.current_message,
            self.flood,
            self.redelivery,
            self.duplicate_ticks,
            self.delayed_tasks,
            self.gate,
            self.quarantine,
        )
        return partial(
            Consumer,
            stages=stages,
            dead_letters=self.dead_letters,
            unknown_tasks=self.unknown_tasks,
            admission=self.admission,
            crash_counts=self.crash_counts,
            write_heartbeat=write_heartbeat,
            refuse_queue=refuse_queue,
        )

    def requests(self) -> type[Request]:
        """Return the class of the worker's requests."""
        return request_class(
            self.requeuer, self.crash_counts, self.task_processes, self.duplicate_ticks
        )

    def begin(self, consumer: Any, enabled: list[str]) -> None:
        """Take up a new connection of the consumer.

        enabled: the workers of the settings.
        """
        parts: tuple[Any, ...] = (
            self.requeuer,
            self.flood,
            self.redelivery,
            self.delayed_tasks,
            self.dead_letters,
            self.duplicate_ticks,
        )
        for part in parts:
            part.begin(consumer)
        self.foreign_tasks.begin(consumer.task_consumer.channel, enabled)

    def step(self, consumer: Any) -> None:
        """Do what the main loop does a few times a second beside its work."""
        self.drain.step(consumer)
        self.flood.step(self.gate.closed)
        consumer.pending_answers.step()
        parts: tuple[Any, ...] = (
            self.requeuer,
            self.delayed_tasks,
            self.dead_letters,
            self.foreign_tasks,
            self.quarantine,
            self.task_processes,
            self.revokes,
        )
        for part in parts:
            part.step()
