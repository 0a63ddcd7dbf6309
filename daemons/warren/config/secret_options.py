"""Which options hold secrets, and the text that shows each option without its secrets. Pure.

`url` of [broker] and [results] may hold a password. In an option of JSON, in [app] environment and
in [celery], the name of a value says whether the value is a secret (`redaction/secret_names.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from warren.config.units import json_text
from warren.redaction.masker import redact, redact_value
from warren.redaction.url_passwords import redact_urls

#: Options of Celery that have a secret's name, but whose value is only the path of a key.
_PATHS = ("security_key",)


def url_has_password(url: SecretStr) -> bool:
    """Return whether a password stands in the URL."""
    text = url.get_secret_value()
    return redact_urls(text) != text


def variables_have_secret(variables: Mapping[str, str]) -> bool:
    """Return whether one of the environment variables is a secret."""
    return bool(redact_value(dict(variables)) != dict(variables))


def celery_has_secret(option: str, value: Any) -> bool:
    """Return whether this option of [celery] holds a secret."""
    return option not in _PATHS and bool(redact_value(value, option) != value)


def url_text(url: SecretStr) -> str:
    """Return the URL with its password masked."""
    return redact(url.get_secret_value())


def masked_json(value: object) -> str:
    """Return the JSON of an option, with its secrets masked."""
    return json_text(redact_value(value))


def variables_text(variables: Mapping[str, str]) -> str:
    """Return the variables on one line, with those masked that look like secrets."""
    shown: dict[str, str] = redact_value(dict(variables))
    return " ".join(f"{name}={value}" for name, value in shown.items())


def celery_text(option: str, value: Any) -> str:
    """Return the value of an option of [celery], with its secrets masked."""
    shown = redact_value(value, option)
    return shown if isinstance(shown, str) else json_text(shown)
