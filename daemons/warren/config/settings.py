"""The settings of one host: all sections, the origins of values, a task's queue and quotas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from warren.config.option_types import Section
from warren.config.queue_of_task import DEFAULT_QUEUE, claimed_by, last_queue, queue_of
from warren.config.quotas_of_task import may_wait, quotas_of
from warren.config.schedule_options import ScheduleSettings
from warren.config.schema import (
    AppSettings,
    BeatSettings,
    BrokerSettings,
    HealthSettings,
    LogSettings,
    QueueSettings,
    QuotaSettings,
    ResultsSettings,
    SuperviseSettings,
    WatchdogSettings,
    WorkerSettings,
)
from warren.config.snapshot import Accepted
from warren.config.web_options import WebSettings
from warren.errors import ConfigError, Origin, Problem


@dataclass(frozen=True)
class SectionKind:
    """A kind of section: its name in the INI file, its attribute in `Settings`, and its options."""

    word: str
    attribute: str
    model: type[Section]
    named: bool = False

    @property
    def title(self) -> str:
        """The section's heading, such as app or worker:NAME."""
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
    SectionKind("web", "web", WebSettings),
    SectionKind("supervise", "supervise", SuperviseSettings),
    SectionKind("health", "health", HealthSettings),
)
#: The section whose options are Celery's, not Warren's.
CELERY = "celery"


class Settings(BaseModel):
    """All that the INI files of one host say. The object is frozen, and is made by `load`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: Path
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
    web: WebSettings = WebSettings()
    supervise: SuperviseSettings = SuperviseSettings()
    health: HealthSettings = HealthSettings()
    celery: dict[str, Any] = Field({}, repr=False)  # may hold passwords
    #: The variables of [app] environment_file.
    secret_environment: dict[str, str] = Field({}, repr=False)
    #: The token of each client of `warren web`, from [web] token_file.
    web_tokens: dict[str, str] = Field({}, repr=False)
    origins: Mapping[tuple[str, str], Origin] = Field({}, repr=False)
    # The text from which the settings were made, with its secrets.
    accepted: Accepted = Field(Accepted(), repr=False, exclude=True)
    source: Path | None = None  # where that text was read; None: the INI files themselves

    @property
    def generation(self) -> int:
        """Return the number that orders all settings of this host: later settings have a higher
        number.
        """
        return self.accepted.generation

    def origin(self, section: str, option: str = "") -> Origin:
        """Return where the option was written; without an option, where the section begins.

        For an option or section that no file holds, returns the origin of a default.
        """
        return self.origins.get((section, option), Origin())

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables of the project's code, with their secrets."""
        return {**self.app.environment, **self.secret_environment}

    def worker(self, name: str) -> WorkerSettings:
        """Return the section [worker:NAME]. Raises ConfigError when there is no such section."""
        if name not in self.workers:
            known = ", ".join(sorted(self.workers)) or "none"
            found = f"only: {known}"
            raise ConfigError(
                [
                    Problem(
                        Origin(self.directory),
                        f"worker:{name}",
                        "",
                        "a section of this name",
                        found,
                        "add it",
                    )
                ]
            )
        return self.workers[name]

    @property
    def last_queue(self) -> str:
        """Return the name of the queue for tasks that no other queue claims."""
        return last_queue(self.queues)

    def queue_of(self, task: str) -> str:
        """Return the queue that a task goes to, unless the call names another queue."""
        return queue_of(task, self.queues)

    def claimed_by(self, task: str) -> str | None:
        """Return the queue that claims the task by its name or a pattern, `*` not counted."""
        return claimed_by(task, self.queues)

    def quotas_of(self, task: str) -> tuple[str, ...]:
        """Return the sorted names of all quotas that govern a task."""
        return quotas_of(task, self.quotas)

    def may_wait(self, queue: str, task: str) -> bool:
        """Return whether a queue may wait for the quotas of a task."""
        return may_wait(queue, task, self.queues, self.quotas)

    def sections(self) -> list[tuple[str, Section]]:
        """Return all of Warren's own sections with their headings, such as `worker:crawl`.

        The order is the order of the documentation.
        """
        found: list[tuple[str, Section]] = []
        for kind in KINDS:
            value = getattr(self, kind.attribute)
            found += (
                [(f"{kind.word}:{name}", each) for name, each in value.items()]
                if kind.named
                else [(kind.word, value)]
            )
        return found
