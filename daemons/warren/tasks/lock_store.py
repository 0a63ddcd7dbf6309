"""Which store of locks an app has.

Redis where it is the broker or has the results; files of this host with the embedded broker, which
has no other host. RabbitMQ without a Redis has no store that all hosts share.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from celery import Celery, current_app

from warren.tasks.lock_interface import NoLockStore, Scope, Store

#: The remedy where hosts share no store.
NEEDS_REDIS = (
    "name a Redis in [results] url, or give scope='host' when tasks of other hosts may run at the "
    "same time"
)


def store_of(scope: Scope) -> Store:
    """Return the store of the current app. Raises NoLockStore."""
    app: Celery = current_app._get_current_object()
    state_dir = app.conf.get("warren_state_dir")
    if state_dir is None:
        raise NoLockStore(
            "warren.unique and warren.once need an app that Warren has made, and this thread has "
            "none; call app.set_current() with the app of make_app (docs/tasks.md)"
        )
    url = redis_url(str(app.conf.broker_url), str(app.conf.result_backend))
    if scope == "host" or (url is None and str(app.conf.broker_url).startswith("warren:")):
        return _files(Path(state_dir) / "locks")
    if url is None:
        raise NoLockStore(f"hosts share no store for locks on RabbitMQ alone; {NEEDS_REDIS}")
    return _redis(url, str(app.main))


def redis_url(broker: str, results: str) -> str | None:
    """Return the URL of the Redis that all hosts share; None when there is none. Pure."""
    for url in (broker.split(";")[0], results.rpartition("+")[2]):
        if url.startswith(("redis://", "rediss://")):
            return url
    return None


@lru_cache(maxsize=4)
def _files(directory: Path) -> Store:
    from warren.tasks.file_locks import FileLocks

    return FileLocks(directory)


@lru_cache(maxsize=4)
def _redis(url: str, app: str) -> Store:
    from warren.tasks.redis_locks import RedisLocks  # imported only when Redis is used

    return RedisLocks(url, app)
