"""The options that Warren sets in Celery, from the settings: broker, results, tasks, worker.

The operator's own options of [celery] come after these (`factory.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warren.app.celery_router import route_of
from warren.app.queues import queue
from warren.broker import transport_profiles
from warren.broker.queue_names import EXCHANGE, are_quorum
from warren.broker.rabbitmq import connection
from warren.config import Settings
from warren.config.broker_kind import BrokerKind

#: Seconds for which RabbitMQ keeps results that their sender has not read, unless the settings set
#: another time. RabbitMQ keeps results in memory, and most senders never read them.
UNREAD = 3600.0


def celery_options(settings: Settings) -> dict[str, Any]:
    """Return all options of Celery that these settings ask for, without those of [celery]."""
    return _broker(settings) | _results(settings) | _tasks(settings) | _worker()


def _broker(settings: Settings) -> dict[str, Any]:
    broker = settings.broker
    conf: dict[str, Any] = {
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Warren's own lock refuses a second worker of the same name. Exclusive queues would do
        # harm: the queue of a killed worker would refuse the next worker, until the broker has
        # noticed the end of the killed worker.
        "control_queue_exclusive": False,
        "event_queue_exclusive": False,
    }
    conf |= transport_profiles.connection_settings(settings)
    own = _OF_BROKER[broker.kind](settings)
    conf["broker_transport_options"] |= own.pop("broker_transport_options", {})
    conf["broker_transport_options"]["largest_message"] = broker.largest_message
    return conf | own


def _embedded(settings: Settings) -> dict[str, Any]:
    directory = settings.app.state_dir / "broker"
    bindings = [[section.binding_key, name] for name, section in settings.queues.items()]
    return {
        "broker_url": "warren://",
        "broker_transport": "warren.broker.embedded.transport:Transport",
        "broker_transport_options": {
            "directory": str(directory),
            "polling_interval": settings.broker.polling_interval,
            "exchanges": [[EXCHANGE, "topic", bindings]],
        },
    }


def _redis(settings: Settings) -> dict[str, Any]:
    from warren.broker.redis import redis_transport  # imported only when Redis is used

    redis_transport.register()
    broker = settings.broker
    return {
        "broker_url": _url(settings),
        # A command that Redis refuses (no memory, a read-only replica, a key of another type) is
        # not an error of the worker.
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            "visibility_timeout": broker.visibility_timeout,
            # kombu asks Redis in one blocking call for all queues that are consumed at that time. A
            # queue that is consumed again after a pause has to wait for the end of that call. So
            # `polling_interval` makes the call short.
            "polling_interval": broker.polling_interval,
            # A message that is due later returns to its queue when kombu restores the messages of
            # dead workers. This happens each second instead of every 100 s. And the lock of a
            # killed worker expires after 10 s instead of five minutes.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "unacked_restore_limit": 300,
            "unacked_mutex_expire": 10,
        },
    }


def _rabbitmq(settings: Settings) -> dict[str, Any]:
    connection.register()
    return {"broker_url": _url(settings)}


_OF_BROKER: dict[BrokerKind, Callable[[Settings], dict[str, Any]]] = {
    "embedded": _embedded,
    "redis": _redis,
    "rabbitmq": _rabbitmq,
}


def _url(settings: Settings) -> str:
    url = settings.broker.url
    assert url is not None  # noqa: S101  the kind of the broker is read from its URL
    return url.get_secret_value()


def _results(settings: Settings) -> dict[str, Any]:
    results, broker = settings.results, settings.broker
    replies = "warren.broker.rabbitmq.reply_results:Backend+rpc://"
    if results.url is not None:
        url = results.url.get_secret_value()
    elif broker.kind == "redis" and broker.url is not None:
        url = broker.url.get_secret_value()
    elif broker.kind == "rabbitmq":
        url = replies
    else:
        directory = settings.app.state_dir / "results"
        url = f"warren.broker.embedded.file_results:Backend+file://{directory}"
    if url.startswith(("redis:", "rediss:")):
        url = f"warren.broker.redis.redis_results:Backend+{url}"
    if url.startswith("rpc:") and broker.kind == "rabbitmq":
        url = replies
    expires = results.expires
    if url == replies and settings.origin("results", "expires").file is None:
        expires = min(expires, UNREAD)
    return {
        "result_backend": url,
        "result_expires": expires,
        "result_persistent": True,
    }


def _tasks(settings: Settings) -> dict[str, Any]:
    return {
        "task_queues": [
            queue(settings, name, section.binding_key) for name, section in settings.queues.items()
        ],
        "task_routes": (route_of(settings),),
        "task_default_queue": settings.last_queue,
        "task_default_exchange": EXCHANGE,
        "task_default_exchange_type": "topic",
        "task_default_routing_key": settings.queues[settings.last_queue].binding_key,
        "task_default_queue_type": "quorum" if are_quorum(settings) else "classic",
        "task_create_missing_queues": False,
        # A message is acknowledged only when its task is done. So a task that a killed worker had
        # begun runs again.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_store_errors_even_if_ignored": True,
        "task_track_started": True,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "timezone": settings.app.timezone,
        "enable_utc": True,
    }


def _worker() -> dict[str, Any]:
    return {
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": False,
        # The worker itself reads [worker:NAME] remote_control.
        "worker_enable_remote_control": False,
    }
