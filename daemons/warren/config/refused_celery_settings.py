"""The settings of Celery that a user may not set, or only to one value, and why.

[celery] refuses them, and any other value. In an app that the project has made (`[app] celery`),
Warren's values replace those of the project; project_app.py has the few exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BROKER = "set [broker] url, or url_file"
_RESULTS = "set [results] url, or url_file"
_ROUTES = "set [queue:NAME] tasks and binding_key"
_SCHEDULE = "write a section [schedule:NAME]"
_JSON_LOGS = "every line of Warren's logs is JSON; see [log]"
_KEPT = "a task whose worker dies must go back to the broker"
_OUTAGE = "a daemon waits for a broker that is away"
_SUCCESSOR = "the broker would keep the queue of a killed worker from its successor"
_ONLY_JSON = "Warren takes and sends JSON only: a pickle can run code of its sender"

#: Settings that Warren refuses, each with what to do instead: mostly an option of Warren's own.
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "broker_url",
            "broker_read_url",
            "broker_write_url",
            "broker_transport",
            "broker_host",
            "broker_port",
        ),
        _BROKER,
    ),
    **dict.fromkeys(("broker_user", "broker_password", "broker_vhost"), _BROKER),
    "broker_connection_timeout": "set [broker] connect_timeout",
    "result_backend": _RESULTS,
    "result_expires": "set [results] expires",
    **dict.fromkeys(
        ("task_queues", "task_routes", "task_default_queue", "task_default_exchange"), _ROUTES
    ),
    **dict.fromkeys(
        ("task_default_exchange_type", "task_default_routing_key", "task_create_missing_queues"),
        _ROUTES,
    ),
    "task_default_queue_type": "set [broker] queue_type",
    **dict.fromkeys(("beat_schedule", "beat_scheduler", "beat_schedule_filename"), _SCHEDULE),
    **dict.fromkeys(("imports", "include"), "set [app] modules"),
    "timezone": "set [app] timezone",
    **dict.fromkeys(
        ("worker_log_format", "worker_task_log_format", "worker_log_color"), _JSON_LOGS
    ),
    **dict.fromkeys(("worker_log_datefmt", "worker_task_log_datefmt"), _JSON_LOGS),
    "worker_concurrency": "set [worker:NAME] concurrency",
    "worker_prefetch_multiplier": "set [worker:NAME] prefetch",
    "worker_max_tasks_per_child": "set [worker:NAME] max_tasks_per_child",
    "worker_max_memory_per_child": "set [worker:NAME] max_memory_per_child",
    "task_time_limit": "set [worker:NAME] time_limit",
    "task_soft_time_limit": "set [worker:NAME] soft_time_limit",
    "worker_soft_shutdown_timeout": "set [worker:NAME] stop_timeout",
    "task_default_rate_limit": (
        "set [quota:NAME] limit, which also holds across workers and restarts"
    ),
    "worker_consumer": "the worker hands tasks out by its quotas",
    "worker_pool": "quotas and time limits need a worker of child processes",
    "worker_enable_remote_control": "set [worker:NAME] remote_control",
    "worker_autoscaler": "set [worker:NAME] concurrency",
}

#: Settings that take only Warren's value: the value and the reason for it.
FIXED: Mapping[str, tuple[Any, str]] = {
    "task_serializer": ("json", _ONLY_JSON),
    "result_serializer": ("json", _ONLY_JSON),
    "event_serializer": ("json", _ONLY_JSON),
    "accept_content": (["json"], _ONLY_JSON),
    "result_accept_content": (["json"], _ONLY_JSON),
    "task_acks_late": (True, _KEPT),
    "task_reject_on_worker_lost": (True, _KEPT),
    "task_default_delivery_mode": ("persistent", "messages must outlive a restart of the broker"),
    "task_protocol": (2, "the older protocol carries no headers"),
    "task_always_eager": (False, "tasks would run in the program that calls them"),
    "enable_utc": (True, "all times are UTC; for cron lines set [app] timezone"),
    "worker_hijack_root_logger": (False, _JSON_LOGS),
    "worker_redirect_stdouts": (False, _JSON_LOGS),
    "task_store_errors_even_if_ignored": (
        True,
        "the error of a task is kept even if nobody wants its result",
    ),
    "broker_connection_retry": (True, _OUTAGE),
    "broker_connection_retry_on_startup": (True, _OUTAGE),
    "control_queue_exclusive": (False, _SUCCESSOR),
    "event_queue_exclusive": (False, _SUCCESSOR),
}
