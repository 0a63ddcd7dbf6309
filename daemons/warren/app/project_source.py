"""Where a project's code sets something: the file and line, as far as they can be found."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from celery import Celery

from warren.errors import Origin

#: The attribute of an app that holds the name of its module.
MODULE = "module_of_the_project"


def place_of(app: Celery, patterns: Iterable[str], modules: Iterable[str] = ()) -> Origin:
    """Return the first line that matches a pattern, a comment not counted.

    Each pattern is searched in all files before the next one: in the modules of the app and of its
    settings, then in `modules`. Without such a line the origin is the file of the app.
    """
    files = [file for module in _sources(app) if (file := getattr(module, "__file__", None))]
    others = [getattr(sys.modules.get(each), "__file__", None) for each in modules]
    texts = {file: _lines(file) for file in [*files, *others] if file}
    for pattern in patterns:
        found = re.compile(pattern, re.IGNORECASE)
        for file, lines in texts.items():
            for number, line in enumerate(lines, 1):
                if found.search(line.partition("#")[0]):
                    return Origin(Path(file), number)
    return Origin(Path(files[-1] if files else app.main or "the app"))


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []


def _sources(app: Celery) -> Iterator[Any]:
    """Yield the modules that may hold the app's settings. The app's own module is the last."""
    source = getattr(app, "_config_source", None)
    name = source.partition(":")[0] if isinstance(source, str) else getattr(source, "__name__", "")
    for each in (name, os.environ.get("DJANGO_SETTINGS_MODULE", ""), getattr(app, MODULE, "")):
        if each in sys.modules:
            yield sys.modules[each]
