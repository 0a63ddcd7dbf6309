"""The worker daemon: `warren worker NAME`."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import Celery, current_app, signals
from celery.app.trace import setup_worker_optimizations
from celery.exceptions import WorkerShutdown
from celery.worker import state

from warren.app.factory import import_tasks, make_app
from warren.app.queues import refusal
from warren.broker.due import NEAR
from warren.broker.incoming import IncomingMessage
from warren.broker.queue_names import are_quorum
from warren.broker.rabbitmq import delay_queues
from warren.config import Settings
from warren.config.reload_scope import affects_worker
from warren.errors import UNASKED, ExitCode, Unavailable
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.quotas.ledgers import Ledgers
from warren.runtime.cancelled_queues import CancelledQueues
from warren.runtime.daemon import Daemon
from warren.system.process import die_with_parent
from warren.worker import callbacks, chords, signal_receivers, task_forks
from warren.worker.admission import Admission
from warren.worker.celery_log import quieten
from warren.worker.child_slots import ChildSlots
from warren.worker.consumer import Consumer
from warren.worker.consumer_step import step_of
from warren.worker.controller import Controller
from warren.worker.crash_counts import CrashCounts
from warren.worker.current_message import CurrentMessage
from warren.worker.dead_letters import DeadLetters
from warren.worker.delayed_tasks import DelayedTasks
from warren.worker.direct_calls import DirectCalls
from warren.worker.drain import Drain
from warren.worker.duplicate_ticks import DuplicateTicks
from warren.worker.flood import Flood
from warren.worker.foreign_tasks import ForeignTasks
from warren.worker.gate import Gate
from warren.worker.pool import counting_pool
from warren.worker.quarantine import Quarantine
from warren.worker.redelivery import Redelivery
from warren.worker.remote_control import restrict
from warren.worker.request import request_class
from warren.worker.requeue import Requeuer
from warren.worker.result_storing import ResultStoring
from warren.worker.revokes import Revokes
from warren.worker.running_tasks import RunningTasks
from warren.worker.task_fields import queue_by_key
from warren.worker.task_guard import TaskGuard
from warren.worker.task_log import TaskLog
from warren.worker.task_processes import TaskProcesses
from warren.worker.unknown_tasks import UnknownTasks

#: Seconds between two beats of the heartbeat.
HEARTBEAT = 1.0
#: Seconds that the main loop waits for a ledger's lock: one stopped holder must not hold up its
#: heartbeat and other queues.
TIMEOUT = 0.05
#: The end of a task that died with its worker and does not come again.
_GONE = WorkerLostError(
    "the worker died while it ran, and it was acknowledged before it ran (acks_late = False)"
)


class Worker:
    """One worker of this host."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings = settings
        self.name = name
        self.terms = settings.worker(name)
        self.daemon = Daemon(settings, "worker", f"worker-{name}")
        self.ledgers = Ledgers(settings)
        self.requeuer = Requeuer()
        self.crash_counts = CrashCounts(
            settings.app.state_dir / "worker", self.daemon.program, self.terms.concurrency
        )
        self.in_hand = CurrentMessage(settings.app.state_dir / "worker", self.daemon.program)
        self.revokes = Revokes(settings.app.state_dir / "worker", self.daemon.program)
        self.cancelled = CancelledQueues(settings.app.state_dir, self.daemon.program)
        self.storing = ResultStoring(self.terms.concurrency)
        self.quarantine = Quarantine(self.crash_counts)
        near = settings.broker.visibility_timeout / 3 if settings.broker.kind == "redis" else NEAR
        self.later = DelayedTasks(
            self.requeuer, near, partial(delay_queues.note, settings.app.state_dir)
        )
        self.leftovers = TaskProcesses()
        self.admission = Admission(Ledgers(settings, TIMEOUT), self.leftovers)
        self.callbacks = callbacks.Callbacks()
        self.gate = Gate(settings, self.admission, self.requeuer)
        self.flood, self.renewal = Flood(self.requeuer), Redelivery(self.requeuer)
        self.ticked = DuplicateTicks(
            settings.app.state_dir / "worker" / "ticks", self.later.send_away
        )
        self.drain = Drain(self.gate, self.requeuer, self.callbacks, self.leftovers.end_within)
        self.child, self.at_work = TaskGuard(), RunningTasks()
        self.dead_letters = DeadLetters(
            self.requeuer,
            settings.host,
            name,
            settings.app.state_dir / "rejected",
            "quorum" if are_quorum(settings) else "classic",
        )
        self.returning = ForeignTasks(
            self.requeuer, settings.app.state_dir / "returning" / name, self.dead_letters
        )
        self.unknown = UnknownTasks(
            self.requeuer, settings.broker.unknown_task_timeout, self.returning.keep
        )
        self.code = ExitCode.OK
        self._refusal: Unavailable | None = None
        self._pulsed, self._told = 0.0, ("", 0)

    def start(self) -> ExitCode:
        """Runs until it is told to stop; returns the exit code.

        Raises Unavailable when the broker refuses a queue.
        """
        self.daemon.start()
        self.ledgers.configure()
        self.crash_counts.open(unasked=bool(os.environ.pop(UNASKED, "")))
        self._tell_gone()
        self.in_hand.open()
        self.revokes.open()
        app = self._prepare(make_app(self.settings))
        self._run(app)
        self.leftovers.end()
        self.crash_counts.forget(self.drain.requeued)
        if self.code == ExitCode.OK and self.daemon.stopping and not self.daemon.kept:
            # Somebody has asked for this end. Under `supervise` only that one knows whether an
            # operator has.
            self.cancelled.forget(self.terms.queues, "the worker was stopped")
        if self._refusal:
            self.daemon.refuse(self._refusal)
            raise self._refusal
        return self.daemon.stop(self.code)

    def _tell_gone(self) -> None:
        """Tell the end of each task that died with the worker before this one, and that no broker
        has any more.
        """
        queue_of = queue_by_key(self.settings)
        for task_id, name, key in self.crash_counts.gone:
            logger().error(
                Event.TASK_FAILED,
                task_id=task_id,
                task=name,
                queue=queue_of(key, name),
                reason=str(_GONE),
            )

    def _store_gone(self) -> None:
        """Have their failures stored, by a pool child: a server that does not answer holds up no
        start.
        """
        for task_id, name, _ in self.crash_counts.gone:
            task = current_app.tasks.get(name)
            stored = task is None or not task.ignore_result or task.store_errors_even_if_ignored
            self.callbacks.tell_failure(task_id, name, _GONE, bool(stored))
        self.crash_counts.gone.clear()

    def _prepare(self, app: Celery) -> Celery:
        quieten()
        import_tasks(app, self.settings)
        signal_receivers.guard()
        self.daemon.regain()
        self.gate.guard(app.tasks)
        requests = request_class(self.requeuer, self.crash_counts, self.leftovers, self.ticked)
        for task in app.tasks.values():
            task.Request = requests
        allowance = ChildSlots(self.settings, self.ledgers)
        DirectCalls(self.settings, allowance).guard(app.tasks)
        self.child.guard(app.tasks)
        self.callbacks.guard(app.backend, app.tasks)
        chords.guard(app.tasks)
        records = TaskLog(self.settings)
        records.connect(app.tasks)
        self.child.told = records.told
        allowance.connect()
        signals.worker_process_init.connect(self._begin_child, weak=False)
        app.steps["consumer"].add(step_of(self._begin, self.step))
        Consumer.write_heartbeat = staticmethod(lambda: self.write_heartbeat(None))
        self.crash_counts.connect()
        Consumer.over = staticmethod(self.crash_counts.disconnected)
        self.storing.connect()
        Consumer.admit = staticmethod(self._admit)
        Consumer.send_on, Consumer.keep = (
            staticmethod(self.unknown.send_on),
            staticmethod(self.dead_letters.keep),
        )
        Consumer.foul, Consumer.refused = staticmethod(self.flood.foul), staticmethod(self._refuse)
        Consumer.surplus = staticmethod(
            lambda message: self.flood.good(message) or self.renewal.renew(message)
        )
        Consumer.postpone = staticmethod(
            lambda message: self.ticked.repeats(message) or self.later.postpone(message)
        )
        Consumer.in_hand = self.in_hand
        IncomingMessage.noted = staticmethod(self.in_hand.note)
        app.conf.worker_enable_remote_control = self.terms.remote_control
        restrict(list(self.terms.queues), self.gate, self.cancelled, self.revokes)
        Consumer.dropped = staticmethod(self.admission.drop)
        # Publishing from the worker's own loop must not wait for the broker's confirmation: under a
        # memory or disk alarm it never comes, and the worker would not drain the very queue that
        # caused the alarm. The pool children, who send tasks, do wait.
        options = app.conf.broker_transport_options
        self._publishing = {
            name: options.pop(name)
            for name in ("confirm_publish", "publish_timeout")
            if name in options
        }
        if self._publishing:
            options["publish_timeout"] = (
                0.0  # and what has an answer is refused at once on a connection that is not read
            )
        return app

    def _run(self, app: Celery) -> None:
        setup_worker_optimizations(app, f"{self.name}@{self.settings.host}")
        self._controller = controller = Controller(
            app=app,
            hostname=f"{self.name}@{self.settings.host}",
            queues=list(self.terms.queues),
            pool=counting_pool(self.crash_counts),
            concurrency=self.terms.concurrency,
            prefetch_multiplier=self.terms.prefetch,
            max_tasks_per_child=self.terms.max_tasks_per_child or None,
            max_memory_per_child=self.terms.max_memory_per_child // 1024 or None,
            time_limit=self.terms.time_limit or None,
            soft_time_limit=self.terms.soft_time_limit or None,
            loglevel=logging.getLogger().level,
            without_gossip=True,
            without_mingle=True,
            # Worker heartbeats are events; published while the broker blocks publishers they freeze
            # the main loop.
            without_heartbeat=True,
            ready_callback=self._ready,
        )
        Consumer.withdrawn |= self.cancelled.take_up(self.terms.queues, self.terms.remote_control)
        app.amqp.queues.deselect(Consumer.withdrawn)
        self.leftovers.begin(lambda: controller.pool.info["processes"])
        self.callbacks.pool = lambda: controller.pool
        controller.start()
        # Celery catches what ends its main loop, logs it and stops in order: to the supervisor that
        # must not look like a wish.
        if controller.exitcode and self.code == ExitCode.OK and not self._refusal:
            self.code = ExitCode.SOFTWARE
            logger().critical(
                Event.CRASHED, reason="an error of the main loop; the record before this one has it"
            )

    def _admit(self, request: Any, run: Callable[[Any], None]) -> None:
        if self.gate.has_slots(request):
            self.quarantine.admit(request, run)

    def _refuse(self, queue: str, error: Exception) -> None:
        # Unlike a refused login this is mended at the queue or in the settings, and a restart is
        # what takes up both.
        self._refusal = refusal(self.settings, queue, error)
        raise WorkerShutdown(int(ExitCode.UNAVAILABLE)) from error

    def _begin_child(self, **_: Any) -> None:
        """In each pool child: it ends with its worker, so that nobody calls with a slot whose owner
        looks dead.
        """
        die_with_parent(signal.SIGKILL, self.daemon.pid)
        # what the worker does at it is not this process's to do
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        task_forks.begin_child()
        callbacks.begin_child(current_app.backend)
        current_app.conf.broker_transport_options.update(self._publishing)
        # A task that has run must not fail because its result cannot be stored just now (full
        # disk): the child waits for room, unacknowledged, so a stop meanwhile hands the task back.
        # Not so the parent, whose loop must not wait.
        current_app.backend.always_retry = True

    def _ready(self, consumer: Any) -> None:
        queues = [queue for queue in self.terms.queues if queue not in Consumer.withdrawn]
        logger().info(Event.READY, queues=queues, concurrency=self.terms.concurrency)
        self._controller.on_consumer_ready(consumer)
        self._store_gone()
        self.revokes.look()  # of what others heard since the start; from now on it hears for itself

    def _begin(self, consumer: Any) -> None:
        parts: tuple[Any, ...] = (
            self.requeuer,
            self.flood,
            self.renewal,
            self.later,
            self.dead_letters,
            self.ticked,
        )
        for part in parts:
            part.begin(consumer)
        enabled = [name for name, terms in self.settings.workers.items() if terms.enabled]
        self.returning.begin(consumer.task_consumer.channel, enabled)

    # -- the main loop -----------------------------------------------------------------------------

    def step(self, consumer: Any) -> None:
        """What the main loop does a few times a second beside its work."""
        if self.daemon.dumping:
            self.daemon.dump(
                running=[request.id for request in state.active_requests],
                paused=sorted(self.gate.paused),
            )
        if self.daemon.reloading:
            self.daemon.reload(self._apply)
        self._notice_end()
        self.drain.step(consumer)
        self.flood.step(self.gate.closed)
        consumer.check_answers()
        parts: tuple[Any, ...] = (
            self.requeuer,
            self.later,
            self.dead_letters,
            self.returning,
            self.quarantine,
            self.leftovers,
        )
        parts += (self.revokes,)
        for part in parts:
            part.step()
        self.write_heartbeat(consumer)

    def write_heartbeat(self, consumer: Any) -> None:
        """The heartbeat. Without a consumer the broker is away: then only the end of the worker is
        looked for.
        """
        if consumer is None:
            if self.daemon.reloading:  # another broker may be what the new settings name
                self.daemon.reload(self._apply)
            self._notice_end()
            self.drain.step_without_broker(self._controller.consumer)
        doing = "stopping" if self.drain.begun else "ready" if consumer else "connecting"
        # The supervisor waits for what a reload has come to, and should not take a slow connection
        # for a loop that hangs.
        news = (doing, self.daemon.reloads)
        if time.monotonic() - self._pulsed < HEARTBEAT and news == self._told:
            return
        self.daemon.started()
        self._pulsed, self._told = time.monotonic(), news
        self.admission.retry_pending()
        # as written
        self.daemon.heartbeat.write(
            doing,
            reloads=self.daemon.reloads,
            concurrency=self.terms.concurrency,
            taken=Consumer.taken,
            rejected=Consumer.rejected,
            storing_s=self.storing.longest_s(),
            queues=[
                queue
                for queue in self.terms.queues
                if queue not in self.gate.paused | Consumer.withdrawn
            ],
            paused=sorted(self.gate.paused - Consumer.withdrawn),
            cancelled=sorted(Consumer.withdrawn),
            running=len(state.active_requests),
            begun=sum(state.total_count.values()),
            **self.at_work.look(state.active_requests, self.terms.concurrency),
        )

    def _notice_end(self) -> None:
        if self.daemon.orphaned and not self.drain.begun:
            logger().error(
                Event.SUPERVISOR_LOST,
                consequence="unfinished tasks go back to the broker and this worker ends",
            )
            self._end(0.0, "supervisor lost")
        elif self.daemon.stopping and not self.drain.begun:
            self._end(0.0 if self.daemon.hurried else self.terms.stop_timeout, "asked to stop")
        elif self.daemon.hurried:
            self.drain.begin(0.0, "asked to stop at once")

    def _end(self, timeout: float, reason: str) -> None:
        self.drain.begin(timeout, reason)  # before anybody's receiver has its say
        self._controller.shutting_down()

    def _apply(self, settings: Settings) -> None:
        if not affects_worker(self.settings, settings, self.name):
            self.settings = settings
            self.daemon.took(settings)
            return
        # The supervisor starts the worker again with the new settings; the pool cannot change its
        # tasks' gates while they run.
        self.code = ExitCode.RESTART
        logger().info(
            Event.RELOADED, consequence="running tasks finish, then the worker starts again"
        )
        self._end(self.terms.stop_timeout, "new settings")


def start(settings: Settings, name: str) -> ExitCode:
    """Runs the worker `name` of the settings. Raises ConfigError when there is none."""
    return Worker(settings, name).start()
