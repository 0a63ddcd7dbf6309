"""The section [celery]: passes on any setting of Celery that does not break Warren's guarantees.

refused_celery_settings.py says which settings would.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from celery.app.defaults import NAMESPACES, flatten

from warren.config import units
from warren.config.reader import Value
from warren.config.refused_celery_settings import FIXED, REFUSED
from warren.config.units import Unexpected, shown
from warren.errors import Problem


def read(values: Mapping[str, Value]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the valid settings of the section as Python values, and the problems of the other
    settings.
    """
    known = dict(flatten(NAMESPACES))
    settings: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in values.items():
        try:
            if name not in known:
                raise _Refused("a setting of Celery", shown(name), _hint(name, known))
            if name in REFUSED:
                raise _Refused("no such setting here", "it", REFUSED[name])
            settings[name] = _typed(value.text, known[name].type)
            wanted, reason = FIXED.get(name, (settings[name], ""))
            if settings[name] != wanted:
                raise _Refused(
                    f"{units.json_text(wanted)} and nothing else", shown(value.text), reason
                )
        except Unexpected as error:
            remedy = getattr(error, "remedy", "")
            problems.append(
                Problem(value.origin, "celery", name, error.expected, error.found, remedy)
            )
    return settings, problems


def _hint(name: str, known: Collection[str]) -> str:
    """Return the remedy for an unknown name.

    A mistyped name may mean a refused setting. Then the remedy says what to do instead of that
    setting, because the correct name would be refused as well.
    """
    meant = get_close_matches(name, known, n=1)
    return REFUSED.get(meant[0], f"did you mean {meant[0]}?") if meant else ""


class _Refused(Unexpected):
    def __init__(self, expected: str, found: str, remedy: str) -> None:
        super().__init__(expected, found)
        self.remedy = remedy


def _typed(text: str, kind: str | type) -> Any:
    """Return the value in the type that Celery declares for the setting.

    As a text, "no" would count as true.
    """
    value = _literal(text)
    name = kind if isinstance(kind, str) else kind.__name__
    # null switches many settings off, and some flags also take a table.
    if value is None or isinstance(value, dict):
        return value
    if name == "bool":
        return value if isinstance(value, bool) else units.boolean(text)
    if name in ("int", "float"):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        raise Unexpected("a number", shown(text))
    if name == "dict":
        return units.json_value(text, dict)
    if name in ("list", "tuple"):
        return value if isinstance(value, list) else list(units.items(text))
    return value


def _literal(text: str) -> Any:
    try:
        return units.json_value(text)
    except Unexpected:
        return text
