"""The options of the sections [schedule:NAME]."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from warren.config import cron_line, values
from warren.config.option_types import Flag, Kind, Section, choice, duration, json_of, option

CronLine = Annotated[str | None, Kind("cron expression", cron_line.cron).or_none()]


class ScheduleSettings(Section):
    """A task that is sent again and again: by `every` or by `cron`."""

    enabled: Flag = option(True, "Whether the task is sent.")
    task: Annotated[str, Kind("task name", values.task)] = option(
        "",
        "Name of the task. A disabled section needs none: it switches off the entry of its name in "
        "the app's beat_schedule.",
    )
    every: Annotated[float | None, duration(0.1).or_none()] = option(
        None, "Time from one tick to the next."
    )
    cron: CronLine = option(None, "Minute, hour, day, month, weekday, in the time zone of [app].")
    args: Annotated[list[Any], json_of("JSON list", list)] = option(
        [], "Positional arguments of the task."
    )
    kwargs: Annotated[dict[str, Any], json_of("JSON object", dict)] = option(
        {}, "Keyword arguments of the task."
    )
    queue: Annotated[str | None, Kind("name", values.name).or_none()] = option(
        None, "Queue that the task is sent to. Empty: the task's own queue."
    )
    expires: Annotated[float | None, duration(0.1).or_none()] = option(
        None, "A task that has not begun this long after its sending is dropped. Empty: it waits."
    )
    misfire: Annotated[Literal["run", "skip"], choice("run", "skip")] = option(
        "run", "Ticks that are over 10 s late because no beat led: run the newest once, or skip it."
    )
