"""The schedule of a project's own app (`beat_schedule`), beside the sections [schedule:NAME]."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from celery import Celery
from celery.schedules import crontab

from warren.app.beat_entries import as_section
from warren.app.project_app import LOCAL, time_zone
from warren.app.project_source import place_of, quoted
from warren.config import ScheduleSettings, Settings
from warren.config.units import Unexpected, shown
from warren.config.values import entry_name, nearest
from warren.errors import Origin, Problem


def with_project_schedule(settings: Settings, app: Celery) -> tuple[Settings, list[Problem]]:
    """Return the settings with the app's entries as sections, and what no section can mean.

    A section of an INI file wins over an entry of its name, also when it is disabled. The app is
    finalized: until then its receivers may add entries.
    """
    if settings.app.celery is None:
        return settings, []
    found = app.conf.beat_schedule
    if not isinstance(found, Mapping):
        origin = place_of(app, [r"beat_schedule"])
        text = f"an object of type {type(found).__name__}"
        return settings, [Problem(origin, "", "beat_schedule", "a dict of entries", text)]
    problems = list(_in_vain(settings, list(map(str, found))))
    entries: dict[str, ScheduleSettings] = {}
    places: dict[str, Origin] = {}
    written = _written(app, found)
    for name, entry in found.items():
        if name in settings.schedules:
            continue
        places[str(name)] = place = written(str(name))
        section, wrong = _section(str(name), entry)
        if section is not None:
            entries[str(name)] = section
        for error in wrong:
            problems.append(_problem(place, str(name), error))
    problems += _zones(settings, app, places, found)
    origins = {
        (f"schedule:{name}", option): places[name]
        for name in entries
        for option in ("", *ScheduleSettings.model_fields)
    }
    update = {
        "schedules": {**settings.schedules, **entries},
        "origins": {**settings.origins, **origins},
    }
    return settings.model_copy(update=update), problems


def _section(name: str, entry: Any) -> tuple[ScheduleSettings | None, list[Unexpected]]:
    try:
        entry_name(name)
    except Unexpected as error:
        return None, [error]
    section, wrong = as_section(entry)
    return section, list(wrong)


def _problem(place: Origin, name: str, error: Unexpected) -> Problem:
    option = f"beat_schedule[{shown(name)}]"
    if part := getattr(error, "option", ""):
        option += f" {part}"
    own = getattr(error, "remedy", "")
    remedy = f"write [schedule:{name}], which wins; enabled = false there switches the entry off"
    remedy = f"{own}, or {remedy}" if own else remedy
    return Problem(place, "", option, error.expected, error.found, remedy)


def _in_vain(settings: Settings, names: Collection[str]) -> Iterator[Problem]:
    """Yield a problem for each section that would switch off an entry which the app has not."""
    for name, section in settings.schedules.items():
        if not section.task and name not in names:
            heading = f"schedule:{name}"
            expected = f"an entry of beat_schedule of {settings.app.celery}"
            remedy = nearest(name, names) or "remove the section"
            origin = settings.origin(heading)
            yield Problem(origin, heading, "", expected, shown(name), remedy)


def _zones(
    settings: Settings, app: Celery, names: Collection[str], found: Mapping[Any, Any]
) -> Iterator[Problem]:
    """Yield a problem when the app's crontabs are meant in another time zone than Warren's."""
    zone, ours = time_zone(app), settings.app.timezone
    entries = {str(name): entry for name, entry in found.items()}
    lines = [name for name in names if _is_crontab(entries[name])]
    if not lines or _plain(zone) == _plain(ours):
        return
    option = "timezone" if settings.origin("app", "timezone").file else "celery"
    expected = f"{zone}, the time zone of the app, in which {shown(lines[0])} is a crontab"
    remedy = f"set [app] timezone = {zone}, or the app's timezone to {ours}"
    if zone == LOCAL:
        remedy = f"set the app's timezone to {ours}, or to another zone that [app] timezone has too"
    origin = settings.origin("app", option)
    yield Problem(origin, "app", "timezone", expected, ours, remedy)


def _is_crontab(entry: Any) -> bool:
    rule = entry.get("schedule") if isinstance(entry, Mapping) else getattr(entry, "schedule", None)
    return isinstance(rule, crontab)


def _plain(zone: str) -> str:
    return zone.casefold().removeprefix("etc/")


def _written(app: Celery, found: Mapping[Any, Any]) -> Callable[[str], Origin]:
    """Return a function that finds where the name of an entry is written, else the schedule."""
    tasks = [entry.get("task") for entry in found.values() if isinstance(entry, Mapping)]
    modules = {
        app.tasks[each].__module__ for each in tasks if isinstance(each, str) and each in app.tasks
    }
    names = quoted(app, sorted(modules))
    schedule = place_of(app, [r"beat_schedule", r"add_periodic_task"], sorted(modules))
    return lambda name: names.get(name, schedule)
