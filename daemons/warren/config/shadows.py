"""Modules in [app] path that have the name of another module: of Python's own, or of a library that Warren works with."""

from __future__ import annotations

import sys
from pathlib import Path

from warren.config.settings import Settings
from warren.errors import Problem

#: The libraries that a daemon imports, some of them late.
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
#: What lies beside a project's modules, is never imported by them, and has such a name.
_HARMLESS = frozenset(("test", "this", "antigravity", "idlelib"))


def shadows(settings: Settings) -> list[Problem]:
    """Return a problem for each module in [app] path whose name another one has.

    The folder stands last on sys.path, so the other one is what everybody gets, Warren as well as the modules in the folder.
    """
    folder = settings.app.path
    if folder is None:
        return []
    origin = settings.origin("app", "path")
    expected = "no module with the name of one that Python or Warren uses"
    return [
        Problem(origin, "app", "path", expected, str(path), "rename it, and what imports it")
        for name, path in _modules(folder)
        if name in (sys.stdlib_module_names | LIBRARIES) - _HARMLESS
    ]


def _modules(folder: Path) -> list[tuple[str, Path]]:
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return []  # a folder that is missing is another problem
    files = [(path.name.partition(".")[0], path) for path in found if path.suffix in (".py", ".so") and path.is_file()]
    return files + [(path.name, path) for path in found if (path / "__init__.py").is_file()]
