"""The settings as a listing: each value in INI form, with its origin, and without its secrets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from warren.config.option_types import kind
from warren.config.secret_options import celery_text
from warren.config.settings import CELERY, Settings
from warren.errors import Origin


@dataclass(frozen=True)
class Entry:
    """One value of the merged configuration."""

    section: str
    option: str
    value: str
    origin: Origin


def entries(settings: Settings) -> Iterator[Entry]:
    """Yield all values: first in the order in which the options are declared, then those of
    [celery].
    """
    for section, model in settings.sections():
        for option, field in type(model).model_fields.items():
            value = kind(field).text(getattr(model, option))
            yield Entry(section, option, value, _origin(settings, section, option))
    for option, value in settings.celery.items():
        shown = celery_text(option, value)
        yield Entry(CELERY, option, shown, settings.origin(CELERY, option))


def _origin(settings: Settings, section: str, option: str) -> Origin:
    """Return where the option was written.

    For a URL from a secret file, returns that file.
    """
    secret = (
        getattr(getattr(settings, section, None), "url_file", None) if option == "url" else None
    )
    return Origin(secret) if secret else settings.origin(section, option)
