"""The Celery app of a worker, prepared before a pool is forked.

Its tasks are guarded, and its hooks are connected.
"""

from __future__ import annotations

from celery import Celery

from warren.app.factory import import_tasks, make_app
from warren.app.project_environment import set_variables
from warren.broker.incoming import IncomingMessage
from warren.broker.transport_profiles import Kind, use
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

    Raises ConfigError when a module cannot be imported.
    """
    set_variables(settings)
    app = make_app(settings)
    quieten()
    import_tasks(app, settings)
    signal_receivers.guard()
    daemon.regain()
    _guard_tasks(app, settings, parts)
    use(app, Kind.CONSUMER)
    ChildStart(daemon.pid, parts.task_guard, parts.crash_counts).connect()
    parts.result_storing.connect()
    # kombu makes each message with its own arguments, and a transport has only one message class.
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
    app.conf.maps[0]["worker_enable_remote_control"] = options.remote_control
    restrict(list(options.queues), parts.gate, parts.cancelled, parts.revokes)
