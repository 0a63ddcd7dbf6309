"""The settings as lines to show: each value as an INI file would hold it, with its origin and without its secrets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from warren.config.options import kind
from warren.config.settings import CELERY, Settings
from warren.config.units import json_text
from warren.errors import Origin
from warren.redaction import redact_value


@dataclass(frozen=True)
class Entry:
    """One value of the merged configuration."""

    section: str
    option: str
    value: str
    origin: Origin


def entries(settings: Settings) -> Iterator[Entry]:
    """All values, in the order in which the options are declared, then those of [celery]."""
    for section, model in settings.sections():
        for option, field in type(model).model_fields.items():
            value = kind(field).text(getattr(model, option))
            yield Entry(section, option, value, _origin(settings, section, option))
    for option, value in settings.celery.items():
        shown = redact_value(value, option)
        yield Entry(CELERY, option, shown if isinstance(shown, str) else json_text(shown), settings.origin(CELERY, option))


def _origin(settings: Settings, section: str, option: str) -> Origin:
    """A URL that stands in a secret file has its origin there."""
    secret = getattr(getattr(settings, section, None), "url_file", None) if option == "url" else None
    return Origin(secret) if secret else settings.origin(section, option)
