"""Where the URL of the broker is kept: the file that the INI files name, or the default one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from warren.config.loader import attempt
from warren.config.secret_files import read_secret
from warren.config.settings import Settings
from warren.config.units import Unexpected
from warren.errors import ConfigError, WarrenError

#: The files that a command writes where the INI files name none, below their directory.
SECRETS, URL_FILE, INI_FILE = Path("secrets"), Path("secrets/broker-url"), Path("conf.d/broker.ini")


@dataclass(frozen=True)
class URLPlace:
    """The place of the broker's URL.

    `file` is the secret file, None where the URL itself is in an INI file. `named` says whether the
    INI files name the place already. `url` is what is there, empty for nothing.
    """

    settings: Settings
    file: Path | None
    named: bool
    url: str


def place_of(directory: Path, host: str | None) -> URLPlace:
    """Return the place of the broker's URL.

    A secret file that is missing or empty is no problem here. Raises ConfigError for each other
    problem of the settings, and WarrenError for a default file that cannot be read.
    """
    settings, problems = attempt(directory, host)
    named = settings.broker.url_file if settings else None
    if named and settings and settings.broker.url is None and is_empty(named):
        problems = [each for each in problems if (each.section, each.option) != _OPTION]
    if problems or settings is None:
        raise ConfigError(problems)
    if settings.broker.url is not None:
        return URLPlace(settings, named, True, settings.broker.url.get_secret_value())
    if named:
        return URLPlace(settings, named, True, "")
    file = settings.directory / URL_FILE
    return URLPlace(settings, file, False, "" if is_empty(file) else _kept(file))


def is_empty(path: Path) -> bool:
    """Return whether there is no file, or an empty one."""
    try:
        return os.stat(path).st_size == 0
    except FileNotFoundError:
        return not os.path.islink(path)
    except OSError:
        return False


def with_url_file(text: str, path: Path) -> str:
    """Return the text of an INI file with the option url_file of the section broker. Pure."""
    line = f"url_file = {path}"
    lines = text.splitlines()
    for number, each in enumerate(lines):
        if each.strip() == "[broker]":
            return "\n".join([*lines[: number + 1], line, *lines[number + 1 :]]) + "\n"
    return "\n".join([*lines, *([""] if lines else []), "[broker]", line]) + "\n"


_OPTION = ("broker", "url_file")


def _kept(file: Path) -> str:
    """Return the URL of an earlier run. Raises WarrenError."""
    from warren.config.option_types import kind
    from warren.config.schema import BrokerSettings

    try:
        text = read_secret(file)
        kind(BrokerSettings.model_fields["url"]).read(text)
    except Unexpected as error:
        raise WarrenError(
            f"{file}: expected {error.expected}, found {error.found}; correct or remove it"
        ) from None
    return text
