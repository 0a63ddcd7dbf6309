"""`[app] celery`: the project's own app, under Warren's settings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_app

from support import own_app
from warren.app.factory import import_tasks, make_app, plain_app
from warren.app.project_app import overridden
from warren.config import Settings
from warren.errors import ConfigError

Loaded = Callable[..., Settings]


@pytest.fixture
def name(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The package of a project of this test's own, which no other test has imported."""
    with own_app.imported(tmp_path / "code", request.node.name) as name:
        yield name


@pytest.fixture
def settings(name: str, loaded: Loaded, tmp_path: Path) -> Settings:
    return loaded(
        f"[app]\ncelery = {name}.celery:app\npath = {tmp_path}/code\nstate_dir = {tmp_path}\n"
        "[worker:a]\n[celery]\nresult_compression = gzip\n"
    )


def test_it_is_the_very_app_with_all_its_tasks(settings: Settings, name: str) -> None:
    """Own tasks, shared ones, registered classes, included and discovered modules are there."""
    app = make_app(settings)
    import_tasks(app, settings)
    assert app is sys.modules[f"{name}.celery"].app
    assert app is current_app._get_current_object()
    assert {f"{name}.{task}" for task in own_app.TASKS} <= set(app.tasks)
    assert app.finalized


def test_whose_settings_are_in_force(settings: Settings) -> None:
    """Warren's and those of [celery]; the app's own where neither has one."""
    conf = make_app(settings).conf
    assert conf.broker_url == "warren://"
    assert conf.accept_content == ["json"]
    assert conf.task_acks_late
    assert not conf.task_always_eager
    assert conf.timezone == "UTC"
    assert conf.result_compression == "gzip"
    assert conf.result_extended


def test_check_names_each_setting_that_is_not_used(
    settings: Settings, name: str, tmp_path: Path
) -> None:
    """With its file and line, and without its value, which may be a password."""
    make_app(settings)
    make_app(settings)  # a second one in this process takes nothing of Warren's for the project's
    lines = list(overridden())
    code = tmp_path / "code" / name
    places = [line.partition(" of the app")[0] for line in lines]
    assert places == [
        f"{code}/settings.py:3: accept_content",
        f"{code}/celery.py:4: broker_url",
        f"{code}/celery.py:6: task_always_eager",
        f"{code}/settings.py:4: timezone",
    ]
    assert not any("geheim" in line for line in lines)


def test_what_it_opened_at_its_import_is_forgotten(
    settings: Settings, name: str, tmp_path: Path
) -> None:
    """A project that used its pool or its backend at import sends to Warren's broker all the same.

    The names that this asks for are Celery's own (`adopt`): a Celery that has others fails here.
    """
    module = tmp_path / "code" / name / "celery.py"
    with module.open("a", encoding="utf-8") as file:
        file.write("app.conf.result_backend = 'cache+memory://'\n")
        file.write("before = app.pool, app.backend, app.amqp\n")
    app: Any = make_app(settings)
    pool, backend, amqp = sys.modules[f"{name}.celery"].before
    assert app.pool is not pool
    assert app.backend is not backend
    assert app.amqp is amqp  # in place: Celery may be using it
    assert "Amqp" in type(amqp).__qualname__
    assert app.pool.connection.transport_cls == "warren.broker.embedded.transport:Transport"


def test_a_process_that_runs_no_task_needs_no_code_of_the_project(
    settings: Settings, name: str
) -> None:
    """The quota-watchdog and `warren status` do not import it."""
    app = plain_app(settings)
    assert f"{name}.celery" not in sys.modules
    assert app.conf.broker_url == make_app(settings).conf.broker_url


@pytest.mark.parametrize(
    ("text", "reference", "found"),
    [
        ("", "celery:nothing", "found no nothing in {name}.celery"),
        ("", "celery:add", "found an object of type"),
        ("", "nowhere:app", "found no module {name}.nowhere"),
        ("1 / 0", "celery:app", "found ZeroDivisionError: division by zero at "),
        ("raise SystemExit(3)", "celery:app", "found SystemExit: 3 at "),
        ("from celery import current_app as other", "celery:other", "of type "),
        ("app.config_from_object('no_such_module')", "celery:app", "no_such_module"),
        ("def make(): return app", "celery:make", "found an object of type function"),
    ],
)
def test_what_is_no_app(
    name: str, loaded: Loaded, tmp_path: Path, text: str, reference: str, found: str
) -> None:
    """It is a problem at the line of the option, with what was found; nothing ends with an error
    of the project.
    """
    with (tmp_path / "code" / name / "celery.py").open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")
    settings = loaded(f"[app]\ncelery = {name}.{reference}\npath = {tmp_path}/code\n")
    with pytest.raises(ConfigError) as caught:
        make_app(settings)
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{settings.directory}/warren.ini:2: [app] celery: expected ")
    assert found.format(name=name) in str(problem)


def test_an_included_module_that_fails(name: str, settings: Settings, tmp_path: Path) -> None:
    """The app's own include, imports and autodiscover_tasks are imported as Celery does it."""
    (tmp_path / "code" / name / "more.py").write_text("1 / 0\n", encoding="utf-8")
    app = make_app(settings)
    with pytest.raises(ConfigError, match=r"\[app\] celery.*ZeroDivisionError"):
        import_tasks(app, settings)


@pytest.mark.parametrize("text", ["shop", "shop:", ":app", "shop.celery:app()", "shop/celery:app"])
def test_malformed_references(refused: Callable[..., Any], text: str) -> None:
    """A module, a colon, the name of the app: nothing else."""
    (problem,) = refused(f"[app]\ncelery = {text}\n")
    assert problem.expected == "a module and the name of its Celery app such as shop.celery:app"


def test_the_class_of_other_apps_stays(settings: Settings) -> None:
    """Only this one object is changed: another app of the project is as Celery made it."""
    other = Celery("other", set_as_current=False)
    assert type(make_app(settings)) is not type(other)
    assert type(other) is Celery


def test_an_empty_option_is_none(loaded: Loaded) -> None:
    """The shipped file has the option without a value: Warren makes the app."""
    assert loaded("[app]\ncelery =\n").app.celery is None
