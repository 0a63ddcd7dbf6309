"""The settings against the task modules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from warren.config import Settings, check_modules, check_tasks

Loaded = Callable[..., Settings]

TASKS = ("shop.crawl", "shop.mail", "shop.tidy")


@pytest.fixture
def modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], None]]:
    """Writes Python modules that can be imported during the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(name: str, source: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_known_tasks(loaded: Loaded) -> None:
    """Names of registered tasks, and patterns that match one, are no problem."""
    settings = loaded(
        "[queue:q]\ntasks = shop.crawl\n[quota:q]\nlimit = 1/s\ntasks = "
        "shop.crawl\n[queue:m]\ntasks = shop.m*\n"
        "[schedule:s]\ntask = shop.tidy\nevery = 1s"
    )
    assert check_tasks(settings, TASKS) == []


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "[schedule:s]\ntask = shop.tidyy\nevery = 1s",
            2,
            (
                "[schedule:s] task: expected a registered task, found 'shop.tidyy'; did you mean "
                "shop.tidy?"
            ),
        ),
        (
            "[queue:q]\ntasks = shop.crwl",
            2,
            (
                "[queue:q] tasks: expected a registered task, found 'shop.crwl'; did you mean "
                "shop.crawl?"
            ),
        ),
        (
            "[queue:q]\ntasks = q.*\n[quota:q]\nlimit = 1/s\ntasks =\n  q.*",
            2,
            (
                "[queue:q] tasks: expected a pattern of registered tasks, found 'q.*'; known are "
                "shop.crawl, shop.mail, shop.tidy"
            ),
        ),
    ],
)
def test_unknown_tasks(loaded: Loaded, text: str, line: int, message: str) -> None:
    """A task that is not registered, or a pattern that matches none, is a problem.

    It stands at its line, with the nearest name.
    """
    settings = loaded(text)
    problems = [str(problem) for problem in check_tasks(settings, TASKS)]
    assert f"{settings.directory}/warren.ini:{line}: {message}" in problems


def test_quota_of_unknown_task(loaded: Loaded) -> None:
    """A quota of a task that is not registered is a problem at the quota and at the queue."""
    settings = loaded("[queue:q]\ntasks = shop.x\n[quota:q]\nlimit = 1/s\ntasks = shop.x")
    assert [problem.section for problem in check_tasks(settings, TASKS)] == ["quota:q", "queue:q"]


def test_unknown_task_without_any(loaded: Loaded) -> None:
    """Where no task is registered at all the operator is asked about [app] modules."""
    settings = loaded("[queue:q]\ntasks = shop.x")
    (problem,) = check_tasks(settings, ())
    assert problem.remedy == "is the task's module in [app] modules?"


def test_missing_module(loaded: Loaded) -> None:
    """A module that does not exist, or whose package does not, is a problem at its option.

    The problem at [app] modules says which is missing.
    """
    settings = loaded(
        "[app]\nname = a\nmodules = json,\n  no_such_module,\n  no_such.package.tasks, json.nothing"
    )
    problems = check_modules(settings)
    assert [problem.found for problem in problems] == [
        "no module no_such_module",
        "no module no_such",
        "no module json.nothing",
    ]
    assert {problem.origin.line for problem in problems} == {3}
    assert "[app] path" in problems[0].remedy


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\n\nraise RuntimeError('no key\\nat all')\n", "RuntimeError: no key at {file}:3"),
        (
            "\nimport no_such_module\n",
            "ModuleNotFoundError: No module named 'no_such_module' at {file}:2",
        ),
        ("def f():\n    return 1/0\n\nf()\n", "ZeroDivisionError: division by zero at {file}:4"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 at {file}:2"),
        ("x = (\n", "SyntaxError: '(' was never closed at {file}:1"),
        (
            "import json\n\njson.loads('{')\n",
            "JSONDecodeError: Expecting property name enclosed in double quotes",
        ),
    ],
)
def test_failing_module(
    loaded: Loaded, modules: Callable[[str, str], None], tmp_path: Path, source: str, said: str
) -> None:
    """A module that fails on import is a problem with its exception and its line.

    It is the line of the module that led there.
    """
    modules("failing_tasks.py", source)
    (problem,) = check_modules(loaded("[app]\nmodules = failing_tasks"))
    assert problem.found.startswith(said.format(file=tmp_path / "failing_tasks.py"))
    assert problem.origin.line == 2


def test_failing_dependency(
    loaded: Loaded, modules: Callable[[str, str], None], tmp_path: Path
) -> None:
    """When a module fails in what it imports, the line shown is the one in the module itself."""
    modules("shop_tasks.py", "\n\nimport shop_base\n")
    modules("shop_base.py", "raise OSError('down')\n")
    (problem,) = check_modules(loaded("[app]\nmodules = shop_tasks"))
    assert problem.found == f"OSError: down at {tmp_path / 'shop_tasks.py'}:3"


def test_a_module_with_the_name_of_another_is_told(loaded: Loaded, tmp_path: Path) -> None:
    """A module in [app] path with the name of a library's module is a problem.

    The library is Python's or Warren's; the problem has the file and a remedy.
    """
    for name in (
        "email.py",
        "queue.py",
        "redis/__init__.py",
        "warren/__init__.py",
        "shop.py",
        "tests/__init__.py",
        "celery/README",
    ):
        (tmp_path / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "app" / name).touch()
    problems = [str(problem) for problem in check_modules(loaded(f"[app]\npath = {tmp_path}/app"))]
    assert [
        f"{tmp_path}/app/{name}" in problem for name, problem in zip(SHADOWS, problems, strict=True)
    ] == [True] * 4
    assert all("rename it" in problem for problem in problems)


SHADOWS = ("email.py", "queue.py", "redis", "warren")
