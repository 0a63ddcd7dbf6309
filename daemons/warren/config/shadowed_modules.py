"""Modules in [app] path that have the same name as a module of Python or a library of Warren."""

from __future__ import annotations

import sys
from pathlib import Path

from warren.config.settings import Settings
from warren.errors import Problem

#: The libraries that a daemon imports. Some of them are imported long after its start.
# fmt: off
LIBRARIES = frozenset((
    "amqp", "annotated_types", "billiard", "celery", "click", "click_didyoumean",
    "click_plugins", "click_repl", "daemon", "dateutil", "kombu", "lockfile", "markdown_it",
    "mdurl", "packaging", "pkg_resources", "prompt_toolkit", "pydantic", "pydantic_core",
    "pydantic_settings", "pygments", "redis", "rich", "setuptools", "six", "structlog",
    "supervisor", "typing_extensions", "typing_inspection", "tzdata", "tzlocal", "vine",
    "warren", "wcwidth", "yaml",
))
# fmt: on
#: Names of modules of Python's library that project code never imports, but that are often also
#: names of modules beside a project's modules.
_HARMLESS = frozenset(("test", "this", "antigravity", "idlelib"))


def shadows(settings: Settings) -> list[Problem]:
    """Return a problem for each module in [app] path that has the name of another module.

    [app] path is the last directory on sys.path. So every import finds the other module, whether
    Warren imports it or a module in that directory.
    """
    directory = settings.app.path
    if directory is None:
        return []
    origin = settings.origin("app", "path")
    expected = "no module with the name of one that Python or Warren uses"
    return [
        Problem(origin, "app", "path", expected, str(path), "rename it, and what imports it")
        for name, path in _modules(directory)
        if name in (sys.stdlib_module_names | LIBRARIES) - _HARMLESS
    ]


def _modules(directory: Path) -> list[tuple[str, Path]]:
    try:
        found = sorted(directory.iterdir())
    except OSError:
        return []  # a missing directory is another problem
    files = [
        (path.name.partition(".")[0], path)
        for path in found
        if path.suffix in (".py", ".so") and path.is_file()
    ]
    return files + [(path.name, path) for path in found if (path / "__init__.py").is_file()]
