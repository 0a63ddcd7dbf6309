"""Whom new settings concern: who need not start anew, or begin again, when they are put in force. Pure.

What a daemon would do in another way concerns it. In doubt it does: a restart loses nothing, a task under old terms may.
"""

from __future__ import annotations

from warren.config.settings import Settings


def concerns_worker(old: Settings, new: Settings, name: str) -> bool:
    """Whether worker `name`, which runs with the old settings, must start anew for the new ones."""
    return (
        _terms(old, name) != _terms(new, name)
        or _app(old) != _app(new)
        or old.log != new.log  # the level, too: the pool children have theirs from the fork
        or not _sends_as_before(old, new)
        or not _admits_as_before(old, new)
    )


def concerns_sending(old: Settings, new: Settings) -> bool:
    """Whether one who only sends tasks needs a new app for the new settings."""
    return _app(old) != _app(new) or not _sends_as_before(old, new)


def concerns_watchdog(old: Settings, new: Settings) -> bool:
    """Whether the quota-watchdog works in another way under the new settings."""
    return (_app(old), old.queues, old.quotas, old.watchdog, old.health, old.log) != (
        *(_app(new), new.queues, new.quotas, new.watchdog, new.health, new.log),
    )


def _terms(settings: Settings, name: str) -> object:
    """The worker's own section without what only its supervision needs."""
    own = settings.workers.get(name)
    return own and own.model_copy(update={"enabled": True, "max_memory": 0})


def _app(settings: Settings) -> tuple[object, ...]:
    return settings.app, settings.broker, settings.results, settings.celery


def _sends_as_before(old: Settings, new: Settings) -> bool:
    """Whether every task goes where it went. Any task may be sent by any other, so this is one matter for all workers.

    Queues may have been added that no task is routed to. A task that names one finds it (broker/queues.py). It exists, and is
    bound for delayed delivery, once a worker that knows it has connected: one of this host must consume it, which was told of it.
    """
    consumed = {queue for worker in new.workers.values() if worker.enabled for queue in worker.queues}
    added = new.queues.keys() - old.queues.keys()
    kept = {name: queue for name, queue in new.queues.items() if name not in added}
    return kept == old.queues and all(name in consumed and not new.queues[name].tasks for name in added)


def _admits_as_before(old: Settings, new: Settings) -> bool:
    """Whether every task takes the slots that it took.

    Which tasks are governed is one matter for all workers, too: any task may come to any queue (a call may name one, and messages
    from before wait there), and a worker that does not know of the quota would run it without a slot. How many slots there are
    and how long they cool stands in the ledger, which the watchdog of this host changes while workers use it.
    """
    if not new.watchdog.enabled:
        return old.quotas == new.quotas
    return _governed(old) == _governed(new)


def _governed(settings: Settings) -> dict[str, tuple[object, ...]]:
    return {name: (quota.tasks, quota.cost) for name, quota in settings.quotas.items()}
