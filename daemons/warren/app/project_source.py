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


#: A text in quotes.
_QUOTED = re.compile(r"""(["'])(.+?)\1""")


def quoted(app: Celery, modules: Iterable[str] = ()) -> dict[str, Origin]:
    """Return each text in quotes with the first line that has it, in the files of `place_of`."""
    found: dict[str, Origin] = {}
    for file in _files(app, modules):
        for number, line in enumerate(_lines(file), 1):
            for match in _QUOTED.finditer(line.partition("#")[0]):
                found.setdefault(match[2], Origin(Path(file), number))
    return found


def place_of(app: Celery, patterns: Iterable[str], modules: Iterable[str] = ()) -> Origin:
    """Return the first line that matches a pattern, a comment not counted.

    Each pattern is searched in all files before the next one: in the modules of the app and of its
    settings, then in `modules`. Without such a line the origin is the file of the app.
    """
    texts = {file: _lines(file) for file in _files(app, modules)}
    for pattern in patterns:
        found = re.compile(pattern, re.IGNORECASE)
        for file, lines in texts.items():
            for number, line in enumerate(lines, 1):
                if found.search(line.partition("#")[0]):
                    return Origin(Path(file), number)
    own = _files(app)
    return Origin(Path(own[-1] if own else app.main or "the app"))


def _files(app: Celery, modules: Iterable[str] = ()) -> list[str]:
    found = [*_sources(app), *(sys.modules.get(each) for each in modules)]
    files = (getattr(module, "__file__", None) for module in found)
    return list(dict.fromkeys(file for file in files if file))


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
