"""The task_routes of a project's app, between the INI's patterns and its last queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import QueueNotFound

from support import own_app
from warren.app.factory import import_tasks, make_app
from warren.app.project_app import overridden
from warren.app.project_routes import Misrouted
from warren.config import Settings
from warren.errors import ConfigError, Problem

Loaded = Callable[..., Settings]

QUEUES = """
[worker:a]
queues = default, other, feeds, mine
[queue:other]
[queue:feeds]
binding_key = feed.#
[queue:mine]
tasks = {name}.more.*
"""


@pytest.fixture
def name(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The package of a project of this test's own."""
    with own_app.imported(tmp_path / "code", request.node.name) as name:
        yield name


@pytest.fixture
def project(name: str, loaded: Loaded, tmp_path: Path) -> Callable[..., Settings]:
    """Loads the settings of the project after its module has got these lines."""

    def settings(text: str, ini: str = QUEUES) -> Settings:
        own_app.extend(tmp_path / "code", name, f"import re\n{text}")
        head = f"[app]\ncelery = {name}.celery:app\npath = {tmp_path}/code\nstate_dir = {tmp_path}"
        return loaded(f"{head}\n{ini}".replace("{name}", name))

    return settings


@pytest.fixture
def app(project: Callable[..., Settings]) -> Callable[..., Celery]:
    """Makes the app of the project with these routes, and imports its tasks."""

    def made(routes: str, ini: str = QUEUES) -> Celery:
        settings = project(f"app.conf.task_routes = {routes}\n", ini)
        app = make_app(settings)
        import_tasks(app, settings)
        return app

    return made


@pytest.fixture
def problems(project: Callable[..., Settings]) -> Callable[..., list[Problem]]:
    """The problems for which the tasks of the project are refused."""

    def told(routes: str, ini: str = QUEUES) -> list[Problem]:
        settings = project(f"app.conf.task_routes = {routes}\n", ini)
        with pytest.raises(ConfigError) as caught:
            import_tasks(make_app(settings), settings)
        return list(caught.value.problems)

    return told


def led_to(app: Celery, task: str, **options: Any) -> tuple[str, str]:
    """The queue and the routing key with which Celery sends the task."""
    found = app.amqp.router.route(options, task, (), {}, app.tasks.get(task))
    queue = found.get("queue") or found["declare"][0]
    return queue.name, found.get("routing_key", queue.routing_key)


@pytest.mark.parametrize(
    ("routes", "led"),
    [
        ("{'{name}.celery.add': {'queue': 'other'}}", ("other", "other")),
        ("{'{name}.celery.*': 'other'}", ("other", "other")),
        ("{re.compile(r'.*\\.add$'): {'queue': 'other'}}", ("other", "other")),
        ("[{'x.*': 'x_of_no_task'[:0] or 'feeds'}, {'*.add': 'other'}]", ("other", "other")),
        ("([('x.*', {'queue': 'feeds'}), ('*.add', {'queue': 'other'})],)", ("other", "other")),
        ("lambda name, args, kwargs, options, task=None, **_: 'other'", ("other", "other")),
        ("(lambda *a, **k: None, {'*': 'other'})", ("other", "other")),
        ("'{name}.router.Old'", ("other", "other")),
        ("{'*.add': {'queue': 'feeds', 'routing_key': 'feed.in'}}", ("feeds", "feed.in")),
        ("{'*.add': {'routing_key': 'feed.in'}}", ("feeds", "feed.in")),
        ("{'*.add': {'exchange': 'warren', 'routing_key': 'other'}}", ("other", "other")),
        ("{'*.add': {'queue': __import__('kombu').Queue('other')}}", ("other", "other")),
        ("{'*.add': {}}", ("default", "default")),
        ("{'*.add': {'queue': None}}", ("default", "default")),
        ("{'*.other': 'other'}", ("default", "default")),
        ("None", ("default", "default")),
    ],
)
def test_where_a_task_goes(
    app: Callable[..., Celery], name: str, tmp_path: Path, routes: str, led: tuple[str, str]
) -> None:
    """By each form of routes that Celery documents."""
    (tmp_path / "code" / name / "router.py").write_text(
        "class Old:\n    def route_for_task(self, task, args=None, kwargs=None):\n"
        "        return {'queue': 'other'}\n",
        encoding="utf-8",
    )
    made = app(routes)
    assert led_to(made, f"{name}.celery.add") == led
    assert not any("task_routes" in line for line in overridden())


def test_who_wins(app: Callable[..., Celery], name: str) -> None:
    """The caller, then the INI's names and patterns, then the routes, then the last queue."""
    made = app("{'{name}.celery.*': 'other', '{name}.more.*': 'other'}")
    assert led_to(made, f"{name}.celery.add", queue="mine")[0] == "mine"
    assert led_to(made, f"{name}.celery.add", routing_key="feed.x")[0] == "feeds"
    assert led_to(made, f"{name}.more.more")[0] == "mine"
    assert led_to(made, f"{name}.celery.send")[0] == "other"
    assert led_to(made, f"{name}.tasks.shared")[0] == "default"


def test_the_queue_of_every_task_is_the_last(app: Callable[..., Celery], name: str) -> None:
    """A pattern of all tasks in the INI does not hide the routes of the project."""
    ini = "[worker:a]\nqueues = all, other\n[queue:all]\ntasks = *\n[queue:other]\n"
    made = app("{'*.add': 'other'}", ini)
    assert led_to(made, f"{name}.celery.add")[0] == "other"
    assert led_to(made, f"{name}.celery.send")[0] == "all"


@pytest.mark.parametrize(
    ("routes", "option", "said"),
    [
        (
            "{'*.add': 'ohter'}",
            "task_routes['*.add']",
            "expected a declared queue, found 'ohter'; add a section [queue:ohter], and ohter to "
            "the queues of a worker, or *.add to [queue:NAME] tasks",
        ),
        (
            "{re.compile('x'): {'queue': 'no'}}",
            "task_routes['x']",
            "expected a declared queue, found 'no'; add a section [queue:no]",
        ),
        (
            "([('a.*', {'queue': 'no'})],)",
            "task_routes['a.*']",
            "expected a declared queue, found 'no'",
        ),
        (
            "{'a': {'queue': 'other', 'priority': 3, 'expires': 4}}",
            "task_routes['a']",
            "expected only queue and routing_key in a route, found expires, priority; ",
        ),
        (
            "{'a': {'exchange': 'media', 'exchange_type': 'direct', 'routing_key': 'k'}}",
            "task_routes['a']",
            "expected a queue, on the topic exchange warren of all queues, found 'media' of type ",
        ),
        (
            "{'a': {'queue': 'other', 'routing_key': 'feed.in'}}",
            "task_routes['a']",
            "expected a routing key that leads to the queue other, found 'feed.in'; set binding_k",
        ),
        (
            "{'a': {'routing_key': 'nowhere'}}",
            "task_routes['a']",
            "expected a routing key that leads to a queue, found 'nowhere'; ",
        ),
        (
            "{'a': 3}",
            "task_routes['a']",
            "expected the name of a queue, or a dict such as {'queue': 'NAME'}, found ",
        ),
        ("[('a.*', 'other')]", "task_routes", "found a pair outside a list; put the pairs into "),
        ("['no_such_module.route']", "task_routes['no_such_module.route']", "ModuleNotFoundError"),
        ("[3]", "task_routes", "found a int"),
    ],
)
def test_what_no_queue_can_hold(
    problems: Callable[..., list[Problem]], routes: str, option: str, said: str
) -> None:
    """The pattern, the place, and the remedy; nothing is dropped in silence."""
    (problem,) = problems(routes)
    assert problem.option == option
    assert said in str(problem)
    assert problem.origin.file is not None
    assert problem.origin.line is not None
    lines = problem.origin.file.read_text(encoding="utf-8").splitlines()
    assert lines[problem.origin.line - 1] == f"app.conf.task_routes = {routes}"


def test_a_route_that_the_ini_replaces(app: Callable[..., Celery], name: str) -> None:
    """A queue for all its tasks in the INI is the other remedy for an unknown queue."""
    made = app("{'{name}.more.mo*': 'unknown'}")
    assert led_to(made, f"{name}.more.more")[0] == "mine"


def test_a_route_into_the_queue_of_a_quota(
    problems: Callable[..., list[Problem]], name: str
) -> None:
    """Its tasks would wait for a quota that does not govern them."""
    ini = f"{QUEUES}[quota:q]\nlimit = 1/s\ntasks = {name}.more.*\n"
    (problem,) = problems("{'{name}.celery.*': 'mine'}", ini)
    assert problem.option == f"task_routes['{name}.celery.*']"
    assert "found 'mine', which waits for [quota:q]" in str(problem)


def test_a_computed_route_is_checked_at_its_sending(app: Callable[..., Celery], name: str) -> None:
    """With Warren's own words, as an error that the code of senders may know."""
    made = app("lambda name, *a, **k: {'queue': 'q' + name[-3:]}")
    with pytest.raises(QueueNotFound) as caught:
        made.send_task(f"{name}.celery.add")
    assert isinstance(caught.value, Misrouted)
    expected = f"{name}.celery.add: task_routes of {name}.celery:app: expected a declared queue"
    assert str(caught.value).startswith(f"{expected}, found 'qadd'; add a section [queue:qadd]")


def test_a_queue_that_is_newer_than_the_process(
    app: Callable[..., Celery], name: str, tmp_path: Path
) -> None:
    """A computed route may name it, as a caller may."""
    made = app("lambda name, *a, **k: 'newer'")
    ini = tmp_path / "etc" / "warren.ini"
    text = ini.read_text(encoding="utf-8").replace("other, feeds", "other, newer, feeds")
    ini.write_text(f"{text}[queue:newer]\n", encoding="utf-8")
    assert led_to(made, f"{name}.celery.add")[0] == "newer"
