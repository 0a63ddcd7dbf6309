"""The worker daemon: `warren worker NAME`."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import Celery, current_app
from celery.app.trace import setup_worker_optimizations
from celery.exceptions import WorkerShutdown
from celery.worker import state

from warren.app.queues import refusal
from warren.config import Settings
from warren.config.affected_daemons import affects_worker
from warren.errors import UNASKED, ExitCode, Unavailable
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.runtime.daemon import Daemon
from warren.worker.consumer_step import step_of
from warren.worker.controller import Controller
from warren.worker.parts import Parts
from warren.worker.pool import counting_pool
from warren.worker.prepared_app import prepared_app
from warren.worker.task_fields import queue_by_key

#: Seconds between two writes of the heartbeat.
HEARTBEAT = 1.0
#: The failure's reason for a task that died with its worker and whose message does not come again.
_GONE = WorkerLostError(
    "the worker died while the task ran, and the message was acknowledged before that "
    "(acks_late = False)"
)


class Worker:
    """One worker of this host."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings = settings
        self.name = name
        self.options = settings.worker(name)
        self.daemon = Daemon(settings, "worker", f"worker-{name}")
        self.parts = Parts(settings, name, self.daemon.program)
        self.code = ExitCode.OK
        self._refusal: Unavailable | None = None
        self._last_heartbeat, self._last_news = 0.0, ("", 0)

    def start(self) -> ExitCode:
        """Run the worker until somebody stops it; return the exit code.

        Raises Unavailable when the broker refuses a queue.
        """
        self.daemon.start()
        self._open()
        app = prepared_app(self.settings, self.name, self.daemon, self.parts)
        app.steps["consumer"].add(step_of(self._begin, self.step))
        self._controller = self._make_controller(app)
        self._leave_cancelled_queues(app)
        self._run()
        self._close()
        return self._end_daemon()

    def _open(self) -> None:
        """Load what the worker before this one has left on disk."""
        self.parts.ledgers.configure()
        self.parts.crash_counts.open(unasked=bool(os.environ.pop(UNASKED, "")))
        self._tell_gone()
        self.parts.current_message.open()
        self.parts.revokes.open()

    def _tell_gone(self) -> None:
        """Report the failure of each task that died with the last worker and that no broker has."""
        queue_of = queue_by_key(self.settings)
        for task_id, name, key in self.parts.crash_counts.gone:
            logger().error(
                Event.TASK_FAILED,
                task_id=task_id,
                task=name,
                queue=queue_of(key, name),
                reason=str(_GONE),
            )

    def _make_controller(self, app: Celery) -> Controller:
        setup_worker_optimizations(app, f"{self.name}@{self.settings.host}")
        return Controller(
            app=app,
            hostname=f"{self.name}@{self.settings.host}",
            queues=list(self.options.queues),
            pool=counting_pool(self.parts.crash_counts),
            consumer_cls=self.parts.consumer(
                lambda: self.write_heartbeat(None), self._refuse_queue
            ),
            concurrency=self.options.concurrency,
            prefetch_multiplier=self.options.prefetch,
            max_tasks_per_child=self.options.max_tasks_per_child or None,
            max_memory_per_child=self.options.max_memory_per_child // 1024 or None,
            time_limit=self.options.time_limit or None,
            soft_time_limit=self.options.soft_time_limit or None,
            loglevel=logging.getLogger().level,
            without_gossip=True,
            without_mingle=True,
            # Celery's worker heartbeats are events. If they are published while the broker blocks
            # publishers, they freeze the main loop.
            without_heartbeat=True,
            ready_callback=self._ready,
        )

    def _leave_cancelled_queues(self, app: Celery) -> None:
        """Stop consuming the queues that remote control has cancelled for this worker."""
        cancelled = self.parts.cancelled.take_up(self.options.queues, self.options.remote_control)
        self._controller.consumer.withdrawn |= cancelled
        app.amqp.queues.deselect(cancelled)

    def _run(self) -> None:
        controller = self._controller
        self.parts.task_processes.begin(lambda: controller.pool.info["processes"])
        self.parts.callbacks.pool = lambda: controller.pool
        controller.start()
        # Celery catches the error that ends its main loop, logs it and stops gracefully. To the
        # supervisor this must not look like a stop that was asked for.
        if controller.exitcode and self.code == ExitCode.OK and not self._refusal:
            self.code = ExitCode.SOFTWARE
            logger().critical(
                Event.CRASHED,
                reason="an error of the main loop; the record before this record has the error",
            )

    def _close(self) -> None:
        """End the processes that tasks have started; write down what the next worker needs."""
        self.parts.task_processes.end()
        self.parts.crash_counts.forget(self.parts.drain.requeued)
        if self.code == ExitCode.OK and self.daemon.stopping and not self.daemon.kept:
            # This end was asked for. Under `supervise` only the supervisor knows whether an
            # operator has asked for it.
            self.parts.cancelled.forget(self.options.queues, "the worker was stopped")

    def _end_daemon(self) -> ExitCode:
        if self._refusal:
            self.daemon.refuse(self._refusal)
            raise self._refusal
        return self.daemon.stop(self.code)

    # -- called by Celery --------------------------------------------------------------------------

    def _refuse_queue(self, queue: str, error: Exception) -> None:
        # A refused login is corrected at the broker. A refused queue is corrected at the queue or
        # in the settings, and a restart takes up either correction.
        self._refusal = refusal(self.settings, queue, error)
        raise WorkerShutdown(int(ExitCode.UNAVAILABLE)) from error

    def _ready(self, consumer: Any) -> None:
        queues = [queue for queue in self.options.queues if queue not in consumer.withdrawn]
        logger().info(Event.READY, queues=queues, concurrency=self.options.concurrency)
        self._controller.on_consumer_ready(consumer)
        self._store_gone()
        # Load the revokes that others heard since the start. From now on this worker hears them
        # itself.
        self.parts.revokes.look()

    def _store_gone(self) -> None:
        """Let a pool child store these failures.

        So a result server that does not answer cannot delay the start.
        """
        gone = self.parts.crash_counts.gone
        for task_id, name, _ in gone:
            task = current_app.tasks.get(name)
            stored = task is None or not task.ignore_result or task.store_errors_even_if_ignored
            self.parts.callbacks.tell_failure(task_id, name, _GONE, bool(stored))
        gone.clear()

    def _begin(self, consumer: Any) -> None:
        enabled = [name for name, options in self.settings.workers.items() if options.enabled]
        self.parts.begin(consumer, enabled)

    # -- the main loop -----------------------------------------------------------------------------

    def step(self, consumer: Any) -> None:
        """Do what the main loop does a few times a second beside its work."""
        if self.daemon.dumping:
            self.daemon.dump(
                running=[request.id for request in state.active_requests],
                paused=sorted(self.parts.gate.paused),
            )
        if self.daemon.reloading:
            self.daemon.reload(self._apply)
        self._notice_end()
        self.parts.step(consumer)
        self.write_heartbeat(consumer)

    def write_heartbeat(self, consumer: Any) -> None:
        """Write the heartbeat when its details have changed, otherwise at most every HEARTBEAT
        seconds.

        Without a consumer the broker is away. Then the worker only checks whether it must end.
        """
        if consumer is None:
            if self.daemon.reloading:  # the new settings may name another broker
                self.daemon.reload(self._apply)
            self._notice_end()
            self.parts.drain.step_without_broker(self._controller.consumer)
        doing = "stopping" if self.parts.drain.begun else "ready" if consumer else "connecting"
        # The supervisor waits for the outcome of a reload. It must not take a slow connection for a
        # loop that hangs.
        news = (doing, self.daemon.reloads)
        if time.monotonic() - self._last_heartbeat < HEARTBEAT and news == self._last_news:
            return
        self.daemon.started()
        self._last_heartbeat, self._last_news = time.monotonic(), news
        self.parts.admission.retry_pending()
        self.daemon.heartbeat.write(doing, **self._details())

    def _details(self) -> dict[str, Any]:
        """Return the details of the heartbeat."""
        consumer, gate = self._controller.consumer, self.parts.gate
        not_taken = gate.paused | consumer.withdrawn
        return {
            "reloads": self.daemon.reloads,
            "concurrency": self.options.concurrency,
            "taken": consumer.taken,
            "rejected": consumer.rejected,
            "storing_s": self.parts.result_storing.longest_s(),
            # as written in the settings
            "queues": [queue for queue in self.options.queues if queue not in not_taken],
            "paused": sorted(gate.paused - consumer.withdrawn),
            "cancelled": sorted(consumer.withdrawn),
            "running": len(state.active_requests),
            "begun": sum(state.total_count.values()),
            **self.parts.running_tasks.look(state.active_requests, self.options.concurrency),
        }

    def _notice_end(self) -> None:
        if self.daemon.orphaned and not self.parts.drain.begun:
            logger().error(
                Event.SUPERVISOR_LOST,
                consequence="unfinished tasks go back to the broker and this worker ends",
            )
            self._end(0.0, "supervisor lost")
        elif self.daemon.stopping and not self.parts.drain.begun:
            self._end(0.0 if self.daemon.hurried else self.options.stop_timeout, "asked to stop")
        elif self.daemon.hurried:
            self.parts.drain.begin(0.0, "asked to stop at once")

    def _end(self, timeout: float, reason: str) -> None:
        self.parts.drain.begin(timeout, reason)  # called before the receivers of task modules
        self._controller.shutting_down()

    def _apply(self, settings: Settings) -> None:
        if not affects_worker(self.settings, settings, self.name):
            self.settings = settings
            self.daemon.took(settings)
            return
        # The supervisor starts the worker again with the new settings, because the pool cannot
        # change the gates of tasks while it runs.
        self.code = ExitCode.RESTART
        logger().info(
            Event.RELOADED, consequence="running tasks finish, then the worker starts again"
        )
        self._end(self.options.stop_timeout, "new settings")


def start(settings: Settings, name: str) -> ExitCode:
    """Run the worker `name` of the settings. Raises ConfigError when there is none."""
    return Worker(settings, name).start()
