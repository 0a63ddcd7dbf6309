"""The Celery app of a worker: its tasks guarded, its hooks connected, before a pool is forked."""

from __future__ import annotations

from typing import Any

from celery import Celery

from warren.app.factory import import_tasks, make_app
from warren.broker.incoming import IncomingMessage
from warren.config import Settings
from warren.runtime.daemon import Daemon
from warren.worker import chords, signal_receivers
from warren.worker.celery_log import quieten
from warren.worker.child_slots import ChildSlots
from warren.worker.child_start import ChildStart
from warren.worker.direct_calls import DirectCalls
from warren.worker.parts import Parts
from warren.worker.remote_control import restrict
from warren.worker.task_hooks import TaskHooks
from warren.worker.task_log import TaskLog


def prepared_app(settings: Settings, name: str, daemon: Daemon, parts: Parts) -> Celery:
    """Return the app of the worker `name`. Task modules are imported here.

    Raises ConfigError when one cannot be.
    """
    app = make_app(settings)
    quieten()
    import_tasks(app, settings)
    signal_receivers.guard()
    daemon.regain()
    _guard_tasks(app, settings, parts)
    publishing = _without_confirmations(app)
    ChildStart(daemon.pid, publishing, parts.task_guard, parts.crash_counts).connect()
    parts.result_storing.connect()
    # kombu makes each message with arguments of its own, and a transport has one class of them.
    IncomingMessage.noted = staticmethod(parts.current_message.note)
    _restrict_remote_control(app, settings, name, parts)
    return app


def _guard_tasks(app: Celery, settings: Settings, parts: Parts) -> None:
    """Put Warren around each task: at the gate, as its request, around its body, and at its end."""
    parts.gate.guard(app.tasks)
    requests = parts.requests()
    for task in app.tasks.values():
        task.Request = requests
    slots = ChildSlots(settings, parts.ledgers)
    DirectCalls(settings, slots).guard(app.tasks)
    parts.task_guard.guard(app.tasks)
    parts.callbacks.guard(app.backend, app.tasks)
    chords.guard(app.tasks)
    log = TaskLog(settings)
    log.connect(app.tasks)
    parts.task_guard.told = log.told
    TaskHooks(log, slots, parts.crash_counts).connect()


def _restrict_remote_control(app: Celery, settings: Settings, name: str, parts: Parts) -> None:
    options = settings.worker(name)
    app.conf.worker_enable_remote_control = options.remote_control
    restrict(list(options.queues), parts.gate, parts.cancelled, parts.revokes)


def _without_confirmations(app: Celery) -> dict[str, Any]:
    """Have this process publish without waiting for the broker's confirmation; return the options
    by which its pool children, who send tasks, do wait.

    Under a memory or disk alarm the confirmation never comes, and the worker's own loop would not
    drain the very queue that caused the alarm.
    """
    options = app.conf.broker_transport_options
    taken = {
        name: options.pop(name)
        for name in ("confirm_publish", "publish_timeout")
        if name in options
    }
    if taken:
        # And a message that has an answer is refused at once on a connection that is not read.
        options["publish_timeout"] = 0.0
    return taken
