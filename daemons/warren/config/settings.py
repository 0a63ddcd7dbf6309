"""The settings of one host: all sections, where each value was written, and which queue and quotas a task has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from warren.config.accepted import Accepted
from warren.config.options import Section
from warren.config.patterns import covers, matches
from warren.config.sections import (
    AppSettings,
    BeatSettings,
    BrokerSettings,
    HealthSettings,
    LogSettings,
    QueueSettings,
    QuotaSettings,
    ResultsSettings,
    ScheduleSettings,
    SuperviseSettings,
    WatchdogSettings,
    WorkerSettings,
)
from warren.errors import ConfigError, Origin, Problem

DEFAULT_QUEUE = "default"
#: The pattern of the queue that takes the place of the default one.
EVERY_TASK = "*"


@dataclass(frozen=True)
class SectionKind:
    """A kind of section: its word in the INI, the attribute of `Settings` that holds it, its options."""

    word: str
    attribute: str
    model: type[Section]
    named: bool = False

    @property
    def title(self) -> str:
        """As a heading has it: app, worker:NAME."""
        return f"{self.word}:NAME" if self.named else self.word


KINDS = (
    SectionKind("app", "app", AppSettings),
    SectionKind("broker", "broker", BrokerSettings),
    SectionKind("results", "results", ResultsSettings),
    SectionKind("log", "log", LogSettings),
    SectionKind("worker", "workers", WorkerSettings, named=True),
    SectionKind("queue", "queues", QueueSettings, named=True),
    SectionKind("quota", "quotas", QuotaSettings, named=True),
    SectionKind("beat", "beat", BeatSettings),
    SectionKind("schedule", "schedules", ScheduleSettings, named=True),
    SectionKind("quota-watchdog", "watchdog", WatchdogSettings),
    SectionKind("supervise", "supervise", SuperviseSettings),
    SectionKind("health", "health", HealthSettings),
)
#: The one section whose options are Celery's, not Warren's.
CELERY = "celery"


class Settings(BaseModel):
    """Everything that the INI files of one host say; frozen. Made by `load`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    host: str
    files: tuple[Path, ...] = ()
    app: AppSettings = AppSettings()
    broker: BrokerSettings = BrokerSettings()
    results: ResultsSettings = ResultsSettings()
    log: LogSettings = LogSettings()
    workers: dict[str, WorkerSettings] = {}
    queues: dict[str, QueueSettings] = {DEFAULT_QUEUE: QueueSettings(binding_key=DEFAULT_QUEUE)}
    quotas: dict[str, QuotaSettings] = {}
    beat: BeatSettings = BeatSettings()
    schedules: dict[str, ScheduleSettings] = {}
    watchdog: WatchdogSettings = WatchdogSettings()
    supervise: SuperviseSettings = SuperviseSettings()
    health: HealthSettings = HealthSettings()
    celery: dict[str, Any] = Field({}, repr=False)  # may hold passwords
    origins: Mapping[tuple[str, str], Origin] = Field({}, repr=False)
    accepted: Accepted = Field(Accepted(), repr=False, exclude=True)  # what they were made of, secrets and all
    source: Path | None = None  # where that was read; None: from the INI files themselves

    @property
    def generation(self) -> int:
        """The order of all settings of this host: later ones have a higher number."""
        return self.accepted.generation

    def origin(self, section: str, option: str = "") -> Origin:
        """Where the option was written; without one, where the section begins. The default's origin if nowhere."""
        return self.origins.get((section, option), Origin())

    def worker(self, name: str) -> WorkerSettings:
        """The section [worker:NAME]. Raises ConfigError when there is none."""
        if name not in self.workers:
            known = ", ".join(sorted(self.workers)) or "none"
            found = f"only: {known}"
            raise ConfigError([Problem(Origin(self.folder), f"worker:{name}", "", "a section of this name", found, "add it")])
        return self.workers[name]

    @property
    def last_queue(self) -> str:
        """The queue of the tasks that no other queue claims."""
        return next((name for name, queue in self.queues.items() if EVERY_TASK in queue.tasks), DEFAULT_QUEUE)

    def queue_of(self, task: str) -> str:
        """The queue that a task goes to unless the call says otherwise; its exact name wins over a pattern."""
        by_pattern = DEFAULT_QUEUE
        for name, queue in self.queues.items():
            if task in queue.tasks:
                return name
            if matches(task, queue.tasks):
                by_pattern = name
        return by_pattern

    def quotas_of(self, task: str) -> tuple[str, ...]:
        """Names, sorted, of all the quotas that govern a task."""
        return tuple(sorted(name for name, quota in self.quotas.items() if matches(task, quota.tasks)))

    def may_wait(self, queue: str, task: str) -> bool:
        """Return whether a queue may wait for the quotas of a task: not when it is the queue of tasks that none of them governs.

        A queue without `tasks` holds what calls chose to send there.
        """
        claims = (*self.queues[queue].tasks, *([EVERY_TASK] if queue == self.last_queue else []))
        governing = [self.quotas[name].tasks for name in self.quotas_of(task)]
        return all(any(covers(own, claim) for own in tasks) for claim in claims for tasks in governing)

    def sections(self) -> list[tuple[str, Section]]:
        """Every section of Warren's own by its heading, such as `worker:crawl`, in the order of the documentation."""
        found: list[tuple[str, Section]] = []
        for kind in KINDS:
            value = getattr(self, kind.attribute)
            found += [(f"{kind.word}:{name}", each) for name, each in value.items()] if kind.named else [(kind.word, value)]
        return found
