"""The beat_schedule of a project's app beside the sections [schedule:NAME]."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import own_app
from support.project_schedules import GOOD
from warren.app.factory import import_tasks, make_app
from warren.app.project_schedule import with_project_schedule
from warren.beat.schedule import Schedule
from warren.config import ScheduleSettings, Settings
from warren.errors import ConfigError, Origin, Problem

Loaded = Callable[..., Settings]
Told = Callable[..., list[Problem]]


@pytest.fixture
def name(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The package of a project of this test's own."""
    with own_app.imported(tmp_path / "code", request.node.name) as name:
        yield name


@pytest.fixture
def project(name: str, loaded: Loaded, tmp_path: Path) -> Callable[..., Settings]:
    """Loads the settings of the project after its module has got this end."""

    def settings(text: str, ini: str = "") -> Settings:
        own_app.extend(tmp_path / "code", name, text)
        return loaded(
            f"[app]\ncelery = {name}.celery:app\npath = {tmp_path}/code\nstate_dir = {tmp_path}\n"
            f"{ini or '[worker:a]'}".replace("{name}", name)
        )

    return settings


@pytest.fixture
def problems(project: Callable[..., Settings]) -> Told:
    """The problems for which the tasks of the project are refused."""

    def told(text: str, ini: str = "") -> list[Problem]:
        settings = project(text, ini)
        with pytest.raises(ConfigError) as caught:
            import_tasks(make_app(settings), settings)
        return list(caught.value.problems)

    return told


def written_at(origin: Origin) -> str:
    """The line of that place."""
    assert origin.file is not None
    assert origin.line is not None
    return origin.file.read_text(encoding="utf-8").splitlines()[origin.line - 1]


QUEUES = "[worker:a]\nqueues = default, other\n[queue:other]\n"


def test_entries_become_sections(project: Callable[..., Settings], name: str) -> None:
    """As beat takes them up, with the places where their names are written."""
    settings = project(GOOD, QUEUES)
    app = make_app(settings)
    import_tasks(app, settings)
    whole, problems = with_project_schedule(settings, app)
    assert not problems
    add = f"{name}.celery.add"
    assert whole.schedules == {
        "every second": ScheduleSettings(task=add, every=1.0, args=[20, 3]),
        "nightly": ScheduleSettings(
            task=add, cron="0 3 * * *", kwargs={"a": 1, "b": 2}, queue="other", expires=3600.0
        ),
        "late": ScheduleSettings(task=add, every=300.0, args=[1, 1]),
    }
    for entry in whole.schedules:
        assert f'"{entry}"' in written_at(whole.origin(f"schedule:{entry}", "task"))
    schedule = Schedule({})
    schedule.take_up(settings, app)
    assert whole.schedules.items() <= schedule.entries.items()


def test_a_section_wins(project: Callable[..., Settings], name: str) -> None:
    """Also one that only switches the entry off."""
    settings = project(
        GOOD,
        f"{QUEUES}[schedule:every second]\nenabled = false\n"
        "[schedule:nightly]\ntask = {name}.triple\nevery = 1h\n",
    )
    app = make_app(settings)
    import_tasks(app, settings)
    schedule = Schedule({})
    schedule.take_up(settings, app)
    tasks = {entry: each.task for entry, each in schedule.entries.items()}
    tasks.pop("celery.backend_cleanup", None)
    assert tasks == {"nightly": f"{name}.triple", "late": f"{name}.celery.add"}


ENTRY = 'app.conf.beat_schedule = {"it": dict({"task": "{name}.celery.add", "schedule": 9}, %s)}\n'


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("task=[]", "beat_schedule['it'] task: expected the name of a task, found an object of "),
        ("task=None", "beat_schedule['it'] task: expected the name of a task, found an object of "),
        (
            "task='{name}.celery.ad'",
            "[schedule:it] task: expected a registered task, found '{name}",
        ),
        ("task='celery.chain'", "[schedule:it] task: expected a registered task, found 'celery.ch"),
        ("schedule=0", "beat_schedule['it'] schedule: expected a duration from 100ms to "),
        ("schedule=object()", "beat_schedule['it'] schedule: expected a number of seconds, a time"),
        ("args='hush'", "beat_schedule['it'] args: expected a list, found an object of type str"),
        ("args=['hush', object()]", "beat_schedule['it'] args: expected JSON, found a value that "),
        ("kwargs={1: 2}", "beat_schedule['it'] kwargs: expected a dict with names, found an objec"),
        ("options={'queue': 'q'}", "[schedule:it] queue: expected a declared queue, found 'q'; "),
        ("options={'queue': 'q q'}", "beat_schedule['it'] options: expected a name of letters,"),
        ("options={'expires': 'x'}", "beat_schedule['it'] options: expected expires as a number "),
        (
            "options={'priority': 3, 'headers': {}}",
            "beat_schedule['it'] options: expected only queue and expires among the options, "
            "found headers, priority; remove the others, or set them at the task",
        ),
        ("total_run_count=3", "beat_schedule['it']: expected only task, schedule, args, kwargs, "),
    ],
)
def test_what_no_section_can_mean(problems: Told, name: str, more: str, said: str) -> None:
    """Nothing is dropped in silence: the entry, its part, its place, and what to do."""
    (problem,) = problems(ENTRY % f"**dict({more})")
    assert written_at(problem.origin).startswith('app.conf.beat_schedule = {"it"')
    assert str(problem).startswith(f"{problem.origin}: {said.replace('{name}', name)}")
    assert problem.remedy
    assert "hush" not in str(problem)


def test_all_problems_of_an_entry_at_once(problems: Told) -> None:
    """An author mends them in one go."""
    found = problems(ENTRY % "**dict(args=3, options={'countdown': 5}, schedule='x')")
    assert [each.option.partition(" ")[2] for each in found] == ["schedule", "args", "options"]


@pytest.mark.parametrize(
    "text", ["app.conf.beat_schedule = [1]\n", "app.conf.beat_schedule={7: 7}"]
)
def test_what_is_no_schedule(problems: Told, text: str) -> None:
    """A problem like any other, and no traceback."""
    (problem,) = problems(text)
    assert problem.option.startswith("beat_schedule")


def test_a_switch_of_nothing(problems: Told) -> None:
    """A misspelt section that switches off an entry is a problem."""
    (problem,) = problems(GOOD, f"{QUEUES}[schedule:nightli]\nenabled = false\n")
    assert str(problem).endswith("found 'nightli'; did you mean nightly?")


def test_another_time_zone(problems: Told) -> None:
    """A crontab of the app would tick at another time; intervals would not."""
    (problem,) = problems(GOOD, f"timezone = Asia/Tokyo\n{QUEUES}")
    assert (problem.option, problem.found) == ("timezone", "Asia/Tokyo")
    assert "'nightly' is a crontab" in problem.expected


def test_the_time_zone_of_the_host(problems: Told) -> None:
    """An app without UTC and without a zone has no zone that an INI file could name."""
    text = GOOD.replace('timezone = "UTC"', "enable_utc = False").replace("{name}.settings", "")
    (problem,) = problems(f"{text}\napp.conf.timezone = None\n", QUEUES)
    assert "set the app's timezone to UTC, or to another zone" in problem.remedy


def test_intervals_in_another_time_zone(project: Callable[..., Settings]) -> None:
    """They tick alike everywhere."""
    settings = project(ENTRY % "args=(1, 2)")  # the project's zone is Berlin, Warren's UTC
    import_tasks(make_app(settings), settings)


def test_values_that_only_celery_has(project: Callable[..., Settings]) -> None:
    """They arrive at the task as they were, as Celery's own messages carry them."""
    settings = project(ENTRY % "args=(__import__('datetime').date(2030, 1, 2), (3,))")
    app = make_app(settings)
    import_tasks(app, settings)
    (entry,) = with_project_schedule(settings, app)[0].schedules.values()
    assert entry.args == [{"__type__": "date", "__value__": "2030-01-02"}, [3]]


def test_warrens_own_app_has_none(loaded: Loaded, refused: Told) -> None:
    """Without an app of the project there is nothing to switch off."""
    (problem,) = refused("[schedule:s]\nenabled = false\nevery = 1s\n")
    assert problem.option == "task"
