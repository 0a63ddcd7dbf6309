"""The reload scope: which daemons new settings concern. Pure.

Settings concern a daemon if it would act differently under them. Any other daemon is not restarted
when the settings take effect, and need not build its parts again. A doubtful case counts as
concerned: a restart loses nothing, but a task that runs under old settings may lose something.
"""

from __future__ import annotations

from warren.config.settings import Settings


def affects_worker(old: Settings, new: Settings, name: str) -> bool:
    """Return whether worker `name` must restart for the new settings.

    The worker runs with the old settings.
    """
    return (
        _own_section(old, name) != _own_section(new, name)
        or _app(old) != _app(new)
        or old.log != new.log  # the level, too, because pool children keep the level of their fork
        or not _sends_as_before(old, new)
        or not _admits_as_before(old, new)
    )


def affects_sending(old: Settings, new: Settings) -> bool:
    """Return whether a daemon that only sends tasks needs a new app for the new settings."""
    return _app(old) != _app(new) or not _sends_as_before(old, new)


def affects_watchdog(old: Settings, new: Settings) -> bool:
    """Return whether the quota-watchdog acts differently under the new settings."""
    return (_app(old), old.queues, old.quotas, old.watchdog, old.health, old.log) != (
        *(_app(new), new.queues, new.quotas, new.watchdog, new.health, new.log),
    )


def affects_web(old: Settings, new: Settings) -> bool:
    """Return whether the web daemon must start again for the new settings.

    It takes up [web], but for the address, and the tokens while it runs.
    """
    return affects_sending(old, new) or old.log != new.log or old.web.listen != new.web.listen


def _own_section(settings: Settings, name: str) -> object:
    """Return the worker's section without the options that only its supervision uses."""
    own = settings.workers.get(name)
    return own and own.model_copy(update={"enabled": True, "max_memory": 0})


def _app(settings: Settings) -> tuple[object, ...]:
    own = settings.secret_environment
    return settings.app, own, settings.broker, settings.results, settings.celery


def _sends_as_before(old: Settings, new: Settings) -> bool:
    """Return whether every task goes to the same queue under both settings.

    Any task may send any other task, so the answer is the same for all workers. The new settings
    may add queues that no task is routed to. A task that names such a queue finds the queue
    (app/queues.py). The queue exists, and is bound for delayed delivery, once a worker that knows
    it has connected. So a worker of this host must consume the queue: only such a worker was told
    of it.
    """
    consumed = {
        queue for worker in new.workers.values() if worker.enabled for queue in worker.queues
    }
    added = new.queues.keys() - old.queues.keys()
    kept = {name: queue for name, queue in new.queues.items() if name not in added}
    return kept == old.queues and all(
        name in consumed and not new.queues[name].tasks for name in added
    )


def _admits_as_before(old: Settings, new: Settings) -> bool:
    """Return whether every task takes the same slots under both settings.

    This answer, too, is the same for all workers. Any task may arrive in any queue: a call may name
    a queue, and older messages wait there. A worker that does not know the quota would run the task
    without a slot. The ledger holds the number of slots and the time that they cool; the watchdog
    of this host changes the ledger while workers use it.
    """
    if not new.watchdog.enabled:
        return old.quotas == new.quotas
    return _governed(old) == _governed(new)


def _governed(settings: Settings) -> dict[str, tuple[object, ...]]:
    return {name: (quota.tasks, quota.cost) for name, quota in settings.quotas.items()}
