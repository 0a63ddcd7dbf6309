"""The Celery app of the settings: every daemon and every command makes its app here."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

from celery import Celery, signals

from warren.app.celery_router import route_of
from warren.app.project_app import add_path, adopt, project_app, promised
from warren.app.queues import amqp, queue
from warren.broker import transport_profiles
from warren.broker.queue_names import EXCHANGE, are_quorum
from warren.broker.rabbitmq import connection
from warren.broker.rabbitmq.short_countdown import App
from warren.config import Settings, check_modules, check_tasks
from warren.config.advice import MADE_BY
from warren.config.broker_kind import BrokerKind
from warren.config.task_checks import failure
from warren.errors import ConfigError, Problem

#: Seconds for which RabbitMQ keeps results that their sender has not read, unless the settings say
#: otherwise. RabbitMQ keeps them in memory, and most senders never read them.
UNREAD = 3600.0
#: The header that holds the time at which the publisher sent the task (seconds, wall clock).
SENT_AT = "warren_sent_at"
#: The header of a message that beat sends for a tick: the id of its task. When a message with this
#: header arrives twice, both are the same task.
TICK = "warren_tick"


def make_app(settings: Settings, begins: Callable[[str], object] = str) -> Celery:
    """Return the Celery app of these settings, which has not yet connected to anything.

    With `[app] celery` that is the project's own app, which is imported. Raises ConfigError.
    `begins` is called with the name of its module before the import.
    """
    if settings.app.celery is None:
        return plain_app(settings)
    app = project_app(settings, begins)
    app.conf.update(promised())
    _configure(app, settings)
    adopt(app, amqp(settings))
    return app


def plain_app(settings: Settings) -> Celery:
    """Return an app of Warren's own with these settings, for a process that runs no task.

    It sends and looks like the project's app, and needs none of the project's code: an error of
    that code must not keep an operator from looking at the broker.
    """
    app: Celery = App(settings.app.name, amqp=amqp(settings), set_as_current=True)
    setattr(app, MADE_BY, True)
    _configure(app, settings)
    return app


def _configure(app: Celery, settings: Settings) -> None:
    app.conf.update(_broker(settings))
    app.conf.update(_results(settings))
    app.conf.update(_tasks(settings))
    app.conf.update(_worker())
    app.conf.warren_state_dir = str(settings.app.state_dir)  # for tasks that keep files there
    signals.before_task_publish.connect(_stamp, dispatch_uid="warren.app.factory.stamp")
    # The operator's settings of [celery] come last, because the validator has refused those that
    # would break a guarantee of Warren. Warren's own transport options stay in force.
    transport = {
        **settings.celery.get("broker_transport_options", {}),
        **app.conf.broker_transport_options,
    }
    app.conf.update({**settings.celery, "broker_transport_options": transport})


def import_tasks(app: Celery, settings: Settings, begins: Callable[[str], object] = str) -> None:
    """Import the task modules, and check the settings against the tasks that they register.

    `begins` is called with the name of each module before its import. Raises ConfigError.
    """
    add_path(settings)
    problems = check_modules(settings, begins)
    if problems:
        raise ConfigError(problems)
    for module in settings.app.modules:
        importlib.import_module(module)
    if settings.app.celery is not None:
        _import_own(app, settings)
    app.finalize()
    problems = check_tasks(settings, [name for name in app.tasks if not name.startswith("celery.")])
    if problems:
        raise ConfigError(problems)


def _import_own(app: Celery, settings: Settings) -> None:
    """Import what a project's app names itself: include, imports, autodiscover_tasks."""
    try:
        app.loader.import_default_modules()
    # The operator must see any error that a module raises at its import.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        origin = settings.origin("app", "celery")
        expected = f"the modules of {settings.app.celery} to be modules that can be imported"
        raise ConfigError([Problem(origin, "app", "celery", expected, failure(error))]) from None


def _stamp(
    headers: dict[str, Any] | None = None, properties: dict[str, Any] | None = None, **_: Any
) -> None:
    if headers is not None:
        headers[SENT_AT] = time.time()
        # Celery copies a task's headers to its retry, and to messages that it sends under its own
        # id. Those are not ticks.
        headers.pop(TICK, None)
    if properties is not None:
        # RabbitMQ silently drops a message with this property from its queue. The header `expires`
        # says the same, and the worker that takes the message ends the task as revoked.
        properties.pop("expiration", None)


def _broker(settings: Settings) -> dict[str, Any]:
    broker = settings.broker
    conf: dict[str, Any] = {
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Warren's own lock refuses a second worker of the same name. If these queues were
        # exclusive, the queue of a killed worker would refuse the next worker until the broker has
        # noticed the end of the first.
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
            # queue that is consumed again after a pause waits for the end of that call, so
            # `polling_interval` shortens the call.
            "polling_interval": broker.polling_interval,
            # A message that is due later returns to its queue when kombu restores the messages of
            # dead workers. That happens each second instead of every 100 s, and the lock that a
            # killed worker still holds expires after 10 s instead of five minutes.
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
        # A message is acknowledged when its task is done, so that a task which a killed worker had
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
