"""Every option of Warren, each declared once; those of [schedule:NAME] are in schedule_options.py.

The shipped warren.ini, the documentation, the hints for a typo and the validation all come from
these classes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import SecretStr

from warren.config import values
from warren.config.broker_kind import BrokerKind, kind_of
from warren.config.option_types import (
    CallRate,
    Directory,
    Duration,
    Flag,
    Kind,
    Names,
    OptionalApp,
    OptionalPath,
    Patterns,
    Percent,
    Section,
    Size,
    Variables,
    bytes_of,
    choice,
    duration,
    listed,
    option,
    url,
    whole,
)
from warren.config.paths import DEFAULT_LOG_DIR, DEFAULT_RUN_DIR, DEFAULT_STATE_DIR

BROKER_URL = url("amqp", "amqps", "redis", "rediss", several=True)
BrokerURL = Annotated[SecretStr | None, BROKER_URL]
ResultsURL = Annotated[SecretStr | None, url("redis", "rediss", "rpc", "file")]
QueueType = Annotated[Literal["auto", "classic", "quorum"], choice("auto", "classic", "quorum")]
Modules = Annotated[tuple[str, ...], listed("list of modules", values.modules)]
Zone = Annotated[str, Kind("time zone", values.zone)]


class AppSettings(Section):
    """The tasks to run, and the directories of the suite."""

    name: Annotated[str, Kind("name", values.name)] = option("warren", "Name of the Celery app.")
    modules: Modules = option((), "Python modules that define the tasks, such as shop.tasks.")
    celery: OptionalApp = option(None, "The project's Celery app. Empty: Warren makes the app.")
    path: OptionalPath = option(
        None,
        "Directory of those modules, added to Python's path. Empty: they are installed packages.",
    )
    environment: Variables = option({}, "Environment variables of the workers and of beat.")
    environment_file: OptionalPath = option(
        None, "File with more of those lines, for secrets. Only its owner may read it (chmod 600)."
    )
    timezone: Zone = option("UTC", "Time zone in which cron lines are read.")
    state_dir: Directory = option(
        DEFAULT_STATE_DIR,
        "Directory of what must survive a reboot: ledgers, embedded broker, last ticks.",
    )
    log_dir: Directory = option(DEFAULT_LOG_DIR, "Directory of the log files.")
    run_dir: Directory = option(
        DEFAULT_RUN_DIR,
        "Directory of what may be lost in a reboot: sockets, pid files, heartbeats.",
    )


class BrokerSettings(Section):
    """Where the messages live."""

    url: BrokerURL = option(
        None,
        "The broker. Several URLs, separated by ';', are tried in turn. Empty: the embedded "
        "broker, for one host.",
    )
    url_file: OptionalPath = option(
        None, "File with that URL and its password. Only its owner may read it (chmod 600)."
    )
    queue_type: QueueType = option("auto", "Type of the queues on RabbitMQ; auto means quorum.")
    connect_timeout: Annotated[float, duration(0.1, 600)] = option(
        5.0, "How long one attempt to connect may take."
    )
    publish_timeout: Annotated[float, duration(0, 3600)] = option(
        10.0,
        "RabbitMQ: how long sending waits until the broker takes a message, such as while its disk "
        "is full; then it fails. 0: no limit.",
    )
    visibility_timeout: Annotated[float, duration(1)] = option(
        3600.0,
        "Redis: an unacknowledged message comes again after this. Set it above the longest task.",
    )
    polling_interval: Annotated[float, duration(0.001, 60)] = option(
        0.05, "Embedded broker and Redis: how often the queues are checked for messages."
    )
    largest_message: Annotated[int, bytes_of(2**10, 2**30)] = option(
        16 * 2**20,
        "Largest message, sent or unpacked. A larger one fails to send, or is rejected on arrival.",
    )
    unknown_task_timeout: Annotated[float, duration(0, 86400)] = option(
        300.0,
        "How long a worker requeues a task of unknown name, because another worker may know the "
        "name; then the task is rejected. 0: at once.",
    )

    @property
    def kind(self) -> BrokerKind:
        """The kind of broker that the URL names."""
        return kind_of(None if self.url is None else self.url.get_secret_value())

    @property
    def embedded(self) -> bool:
        """Whether the suite uses no broker server but the embedded broker."""
        return self.kind == "embedded"


class ResultsSettings(Section):
    """Where the results of tasks live."""

    url: ResultsURL = option(
        None,
        "Where results are kept. Empty: with the broker; on RabbitMQ only the sender of a task "
        "then sees its result.",
    )
    url_file: OptionalPath = option(
        None, "File with that URL. Only its owner may read it (chmod 600)."
    )
    expires: Annotated[float, duration(1)] = option(
        86400.0,
        "How long a result is kept. On RabbitMQ, which keeps a result for its sender only, the "
        "default is 1h.",
    )


class LogSettings(Section):
    """What is logged."""

    level: Annotated[str, choice("debug", "info", "warning", "error", "critical")] = option(
        "info", "The lowest level that is logged."
    )
    arguments: Flag = option(False, "Whether the arguments of tasks are logged.")


class WorkerSettings(Section):
    """A worker daemon: one parent process that consumes queues, and children that run the tasks."""

    enabled: Flag = option(True, "Whether this host runs it.")
    queues: Names = option(("default",), "Queues that the worker consumes.")
    concurrency: Annotated[int, whole(1, 1024)] = option(
        2, "Number of child processes, each of which runs one task at a time."
    )
    prefetch: Annotated[int, whole(1, 1000)] = option(1, "Messages fetched ahead for each child.")
    max_tasks_per_child: Annotated[int, whole()] = option(
        0, "A child is replaced after this number of tasks. 0: never."
    )
    max_memory_per_child: Size = option(
        0, "A child is replaced when it has grown to this size. 0: never."
    )
    max_memory: Size = option(
        0, "The daemon itself is restarted gracefully above this size. 0: never."
    )
    time_limit: Duration = option(0.0, "A task that takes longer is killed. 0: no limit.")
    soft_time_limit: Duration = option(
        0.0, "A task that takes longer gets SoftTimeLimitExceeded. 0: no limit."
    )
    stop_timeout: Duration = option(
        30.0, "How long running tasks may continue after a request to stop; then they are requeued."
    )
    remote_control: Flag = option(
        False,
        "Whether celery inspect, celery control and Flower may query the worker, and revoke and "
        "end its tasks. Then everybody who may publish to the broker may do so.",
    )


class QueueSettings(Section):
    """A queue, and which tasks go into it."""

    binding_key: Annotated[str, Kind("routing key", values.routing_key)] = option(
        "", "Routing key that leads to this queue. Empty: the name of the queue."
    )
    tasks: Patterns = option(
        (), "Tasks that go to this queue unless a call says otherwise. A name wins over a pattern."
    )


class QuotaSettings(Section):
    """A limit on calls, and the tasks that make them."""

    limit: CallRate = option(
        ..., "The most calls in any window of this length, such as 1000/h or 60/10s."
    )
    tasks: Patterns = option(
        (), "Tasks that need a slot to start. They need a queue of their own: [queue:NAME] tasks."
    )
    cost: Annotated[int, whole(1, 10**6)] = option(1, "Slots that one task takes.")
    longest_call: Annotated[float, duration(0.001)] = option(
        5.0,
        "Time after which a call without an answer can no longer reach the provider: its slot "
        "cools longer by this time.",
    )


class BeatSettings(Section):
    """The daemon that sends the tasks of the schedule."""

    enabled: Flag = option(True, "Whether this host runs it. Of all beats of a fleet one sends.")
    max_memory: Size = option(0, "The daemon is restarted gracefully above this size. 0: never.")


class WatchdogSettings(Section):
    """The daemon that keeps the quotas' ledgers."""

    enabled: Flag = option(True, "Whether this host runs it.")
    interval: Annotated[float, duration(0.1, 60)] = option(
        1.0, "How often it looks at the ledgers."
    )
    broker_interval: Annotated[float, duration(1, 60)] = option(
        5.0, "How often it asks the broker for alarms and for the depth of the queues."
    )
    max_memory: Size = option(0, "The daemon is restarted gracefully above this size. 0: never.")


class SuperviseSettings(Section):
    """The supervision of the daemons."""

    start_timeout: Annotated[float, duration(1, 3600)] = option(
        30.0,
        "How long a daemon may take to become ready; after that the start of the suite counts as "
        "done. A start without progress, such as the next imported module or the next child, is "
        "ended after this time; the next start has twice the time.",
    )
    heartbeat_timeout: Annotated[float, duration(5, 3600)] = option(
        20.0,
        "A daemon whose main loop gives no heartbeat for this time hangs: it is killed and started "
        "again. Never less than twice [broker] connect_timeout plus 5 s: a lost broker may block "
        "a daemon for that time.",
    )
    stuck_timeout: Annotated[float, duration(5, 86400)] = option(
        60.0,
        "A worker with room that takes no waiting message for this time is restarted gracefully.",
    )
    blocked_timeout: Annotated[float, duration(0, 86400)] = option(
        600.0,
        "A warning when each child has run the same task for this time while messages wait: the "
        "tasks may never end. Set it longer than tasks usually take. 0: never.",
    )


class HealthSettings(Section):
    """When `warren health`, and so Monit, warns."""

    disk_warning: Percent = option(
        10, "Percent of a disk: a warning when less is free under the state, log or run directory."
    )
    disk_critical: Percent = option(5, "Percent of a disk: critical when less is free.")
    queue_warning: Annotated[int, whole(1)] = option(
        100_000, "A warning when a queue holds this number of messages."
    )
    queue_critical: Annotated[int, whole(1)] = option(
        1_000_000,
        "Critical when a queue holds this number of messages; a warning if the queue will do so "
        "within an hour.",
    )
    rejected_warning: Annotated[int, whole(0, 10**9)] = option(
        1, "A warning at this number of rejected messages, which no worker could run. 0: never."
    )
    quota_warning: Percent = option(
        0, "Percent of a limit: a warning when less is free. 0: never, a quota is there to be used."
    )
