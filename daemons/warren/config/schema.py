"""Every option of Warren, each declared once.

The shipped warren.ini, the documentation, the hints for a typo and the validation all follow from
these classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import SecretStr

from warren.config import cron_line, values
from warren.config.option_types import (
    BOOLEAN,
    PATH,
    RATE,
    SIZE,
    Kind,
    Section,
    bytes_of,
    choice,
    duration,
    json_of,
    listed,
    option,
    url,
    whole,
)
from warren.config.paths import DEFAULT_LOG_DIR, DEFAULT_RUN_DIR, DEFAULT_STATE_DIR
from warren.config.units import Rate

BrokerKind = Literal["embedded", "redis", "rabbitmq"]

BROKER_URL = url("amqp", "amqps", "redis", "rediss", several=True)
RESULTS_URL = url("redis", "rediss", "rpc", "file")
NAMES = listed("list of names", values.names)
PATTERNS = listed("list of task names or patterns", values.patterns)


class AppSettings(Section):
    """The tasks to run, and the directories of the suite."""

    name: Annotated[str, Kind("name", values.name)] = option("warren", "Name of the Celery app.")
    modules: Annotated[tuple[str, ...], listed("list of modules", values.modules)] = option(
        (), "Python modules that define the tasks, such as shop.tasks."
    )
    path: Annotated[Path | None, PATH.or_none()] = option(
        None,
        (
            "Directory that holds those modules; added to Python's path. Empty: they are installed "
            "packages."
        ),
    )
    timezone: Annotated[str, Kind("time zone", values.zone)] = option(
        "UTC", "Time zone in which cron lines are read."
    )
    state_dir: Annotated[Path, PATH] = option(
        DEFAULT_STATE_DIR,
        "Directory of what must survive a reboot: ledgers, embedded broker, last ticks.",
    )
    log_dir: Annotated[Path, PATH] = option(DEFAULT_LOG_DIR, "Directory of the log files.")
    run_dir: Annotated[Path, PATH] = option(
        DEFAULT_RUN_DIR, "Directory of what a reboot may forget: sockets, pid files, heartbeats."
    )


class BrokerSettings(Section):
    """Where the messages live."""

    url: Annotated[SecretStr | None, BROKER_URL] = option(
        None,
        (
            "The broker; several, separated by ';', are tried in turn. Empty: the embedded one, "
            "for one host."
        ),
    )
    url_file: Annotated[Path | None, PATH.or_none()] = option(
        None,
        (
            "File with that URL instead, so that no password stands here. Only its owner may read "
            "it (chmod 600)."
        ),
    )
    queue_type: Annotated[
        Literal["auto", "classic", "quorum"], choice("auto", "classic", "quorum")
    ] = option("auto", "Type of the queues on RabbitMQ; auto means quorum.")
    connect_timeout: Annotated[float, duration(0.1, 600)] = option(
        5.0, "How long one attempt to connect may take."
    )
    publish_timeout: Annotated[float, duration(0, 3600)] = option(
        10.0,
        "RabbitMQ: how long sending waits for the broker to take a message, such as while its "
        "disk is full; then it is an error. 0: for ever.",
    )
    visibility_timeout: Annotated[float, duration(1)] = option(
        3600.0,
        (
            "Redis: an unacknowledged message is delivered again after this. Longer than the "
            "longest task."
        ),
    )
    polling_interval: Annotated[float, duration(0.001, 60)] = option(
        0.05, "Embedded broker and Redis: how often the queues are looked at."
    )

    largest_message: Annotated[int, bytes_of(2**10, 2**30)] = option(
        16 * 2**20,
        (
            "Largest message, as it is sent and unpacked: a larger one is an error of its sender, "
            "and is rejected where it arrives."
        ),
    )
    unknown_task_timeout: Annotated[float, duration(0, 86400)] = option(
        300.0,
        (
            "How long a task that a worker does not have goes back, as others may have it; then it "
            "is rejected. 0: at once."
        ),
    )

    @property
    def kind(self) -> BrokerKind:
        """The kind of broker that the URL names."""
        if self.url is None:
            return "embedded"
        return "redis" if self.url.get_secret_value().lower().startswith("redis") else "rabbitmq"

    @property
    def embedded(self) -> bool:
        """Whether the suite uses no broker server but the embedded broker."""
        return self.url is None


class ResultsSettings(Section):
    """Where the results of tasks live."""

    url: Annotated[SecretStr | None, RESULTS_URL] = option(
        None,
        (
            "Where results are kept. Empty: with the broker; on RabbitMQ only the sender of a task "
            "sees its result then."
        ),
    )
    url_file: Annotated[Path | None, PATH.or_none()] = option(
        None, "File with that URL instead. Only its owner may read it (chmod 600)."
    )
    expires: Annotated[float, duration(1)] = option(
        86400.0,
        (
            "How long a result is kept. With RabbitMQ alone, where they wait for their sender "
            "only: 1h unless it is set."
        ),
    )


class LogSettings(Section):
    """What is logged."""

    level: Annotated[str, choice("debug", "info", "warning", "error", "critical")] = option(
        "info", "The least level that is logged."
    )
    arguments: Annotated[bool, BOOLEAN] = option(
        False, "Whether the arguments of tasks are logged."
    )


class WorkerSettings(Section):
    """A worker daemon: one parent process that consumes queues, and children that run the tasks."""

    enabled: Annotated[bool, BOOLEAN] = option(True, "Whether this host runs it.")
    queues: Annotated[tuple[str, ...], NAMES] = option(
        ("default",), "Queues it takes messages from."
    )
    concurrency: Annotated[int, whole(1, 1024)] = option(
        2, "Number of child processes: so many tasks run at a time."
    )
    prefetch: Annotated[int, whole(1, 1000)] = option(1, "Messages fetched ahead for each child.")
    max_tasks_per_child: Annotated[int, whole()] = option(
        0, "A child is replaced after so many tasks. 0: never."
    )
    max_memory_per_child: Annotated[int, SIZE] = option(
        0, "A child is replaced once it has grown to this. 0: never."
    )
    max_memory: Annotated[int, SIZE] = option(
        0, "The daemon itself is started again, in order, above this size. 0: never."
    )
    time_limit: Annotated[float, duration()] = option(
        0.0, "A task that takes longer is killed. 0: no limit."
    )
    soft_time_limit: Annotated[float, duration()] = option(
        0.0, "A task that takes longer gets SoftTimeLimitExceeded. 0: no limit."
    )
    stop_timeout: Annotated[float, duration()] = option(
        30.0,
        (
            "How long running tasks may go on once the worker was asked to stop; then they go back "
            "to the broker."
        ),
    )
    remote_control: Annotated[bool, BOOLEAN] = option(
        False,
        "Whether celery inspect, celery control and Flower may ask it, and revoke and end its "
        "tasks: whoever may publish to the broker may do so then.",
    )


class QueueSettings(Section):
    """A queue, and which tasks go into it."""

    binding_key: Annotated[str, Kind("routing key", values.routing_key)] = option(
        "", "Routing key that leads into this queue. Empty: the queue's own name."
    )
    tasks: Annotated[tuple[str, ...], PATTERNS] = option(
        (),
        "Tasks that go into this queue unless a call says otherwise. A name wins over a pattern.",
    )


class QuotaSettings(Section):
    """A limit on calls, and the tasks that make them."""

    limit: Annotated[Rate, RATE] = option(
        ..., "So many calls in any window of this length, such as 1000/h or 60/10s."
    )
    tasks: Annotated[tuple[str, ...], PATTERNS] = option(
        (), "Tasks that need a slot to start. They need a queue of their own: [queue:NAME] tasks."
    )
    cost: Annotated[int, whole(1, 10**6)] = option(1, "Slots that one task takes.")
    longest_call: Annotated[float, duration(0.001)] = option(
        5.0,
        (
            "Time after which a call without an answer cannot reach the provider any more: its "
            "slot cools for so much longer."
        ),
    )


class BeatSettings(Section):
    """The daemon that sends the tasks of the schedule."""

    enabled: Annotated[bool, BOOLEAN] = option(
        True, "Whether this host runs it; of all that do, one sends."
    )
    max_memory: Annotated[int, SIZE] = option(
        0, "The daemon is started again, in order, above this size. 0: never."
    )


class ScheduleSettings(Section):
    """A task that is sent again and again: by `every` or by `cron`."""

    enabled: Annotated[bool, BOOLEAN] = option(True, "Whether it is sent.")
    task: Annotated[str, Kind("task name", values.task)] = option(..., "The task.")
    every: Annotated[float | None, duration(0.1).or_none()] = option(
        None, "Time from one tick to the next."
    )
    cron: Annotated[str | None, Kind("cron expression", cron_line.cron).or_none()] = option(
        None, "Minute, hour, day, month, weekday, in the time zone of [app]."
    )
    args: Annotated[list[Any], json_of("JSON list", list)] = option([], "Its positional arguments.")
    kwargs: Annotated[dict[str, Any], json_of("JSON object", dict)] = option(
        {}, "Its keyword arguments."
    )
    queue: Annotated[str | None, Kind("name", values.name).or_none()] = option(
        None, "Queue it is sent to. Empty: the queue of its task."
    )
    misfire: Annotated[Literal["run", "skip"], choice("run", "skip")] = option(
        "run",
        (
            "What happens when ticks are more than 10 s late, no beat having led: run the newest "
            "once, late, or skip it."
        ),
    )


class WatchdogSettings(Section):
    """The daemon that keeps the quotas' ledgers."""

    enabled: Annotated[bool, BOOLEAN] = option(True, "Whether this host runs it.")
    interval: Annotated[float, duration(0.1, 60)] = option(1.0, "How often it looks.")
    broker_interval: Annotated[float, duration(1, 60)] = option(
        5.0, "How often it asks the broker for its alarms and the depth of the queues."
    )
    max_memory: Annotated[int, SIZE] = option(
        0, "The daemon is started again, in order, above this size. 0: never."
    )


class SuperviseSettings(Section):
    """The supervision of the daemons."""

    start_timeout: Annotated[float, duration(1, 3600)] = option(
        30.0,
        "How long a daemon may take until it is ready, then the start of the suite counts as "
        "done. A start without progress, such as the next module that it imports or the next "
        "child, is ended after this; the start after it has twice the time.",
    )
    heartbeat_timeout: Annotated[float, duration(5, 3600)] = option(
        20.0,
        "A daemon whose main loop shows no life for this long hangs: it is killed and started "
        "again. At least twice the connect_timeout of [broker] and 5 s, whatever is written here: "
        "so long a lost broker may keep it.",
    )
    stuck_timeout: Annotated[float, duration(5, 86400)] = option(
        60.0,
        (
            "A worker that takes nothing for this long, although there are messages and it has "
            "room, is started again in order."
        ),
    )
    blocked_timeout: Annotated[float, duration(0, 86400)] = option(
        600.0,
        "A warning when each process of a worker has run the same task for this long while "
        "messages wait: the tasks may never end. Longer than tasks usually take. 0: never.",
    )


class HealthSettings(Section):
    """When `warren health`, and so Monit, warns."""

    disk_warning: Annotated[int, whole(0, 100)] = option(
        10, "Percent of a disk: a warning when less is free under the state, log or run directory."
    )
    disk_critical: Annotated[int, whole(0, 100)] = option(
        5, "Percent of a disk: critical when less is free."
    )
    queue_warning: Annotated[int, whole(1)] = option(
        100_000, "A queue with so many messages is a warning."
    )
    queue_critical: Annotated[int, whole(1)] = option(
        1_000_000,
        (
            "A queue with so many messages is critical; a warning when it will hold them within an "
            "hour."
        ),
    )
    rejected_warning: Annotated[int, whole(0, 10**9)] = option(
        1, "So many rejected messages, which nobody could run, are a warning. 0: never."
    )
    quota_warning: Annotated[int, whole(0, 100)] = option(
        0,
        (
            "Percent of a limit: a warning when less of a quota is free. 0: never, a quota is "
            "there to be used."
        ),
    )
