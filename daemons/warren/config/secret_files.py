"""Secret files: the files that `url_file` and `environment_file` name, and their mode."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from warren.config import environment_variables
from warren.config.access_remedies import who_may
from warren.config.option_types import kind
from warren.config.schema import BrokerSettings, ResultsSettings
from warren.config.settings import Settings
from warren.config.units import Unexpected
from warren.errors import Problem
from warren.system.users import mode_text

_LONGEST_SECRET = 65536  # bytes
_MAKE_SECRET = {
    "broker": "make the file with the URL (chmod 600), or remove the line for the embedded broker",
    "results": (
        "make the file with the URL (chmod 600), or remove the line to keep results with the broker"
    ),
}


#: What to do about a missing environment_file.
_MAKE_FILE = "make the file with lines NAME=value (chmod 600), or remove the line"


def with_secrets(
    settings: Settings, known: Mapping[Path, str]
) -> tuple[Settings, dict[Path, str], list[Problem]]:
    """Return the settings with the content of the secret files, the texts of these files, and
    problems.

    A file is a problem if it is missing, if other users may read it, or if it holds something other
    than a URL or variables.

    known: texts of files that are not read again.
    """
    problems: list[Problem] = []
    secrets: dict[Path, str] = {}
    for section in ("broker", "results"):
        part: BrokerSettings | ResultsSettings = getattr(settings, section)
        if part.url_file is None:
            continue
        origin = settings.origin(section, "url_file")
        if part.url is not None:
            other = f"url as well, at {settings.origin(section, 'url')}"
            problems.append(
                Problem(origin, section, "url_file", "one of url and url_file", other, "remove one")
            )
            continue
        try:
            text = known.get(part.url_file) or read_secret(part.url_file)
            url = kind(type(part).model_fields["url"]).read(text)
        except Unexpected as error:
            where = f"{error.found} at {part.url_file}"
            remedy = who_may(part.url_file, secret=True) or (
                "" if os.path.lexists(part.url_file) else _MAKE_SECRET[section]
            )
            problems.append(Problem(origin, section, "url_file", error.expected, where, remedy))
        else:
            secrets[part.url_file] = text
            settings = settings.model_copy(update={section: part.model_copy(update={"url": url})})
    path = settings.app.environment_file
    if path is not None:
        try:
            text = known[path] if path in known else read_private(path)
            settings = _with_variables(settings, text)
        except Unexpected as error:
            origin = settings.origin("app", "environment_file")
            remedy = who_may(path, secret=True) or ("" if os.path.lexists(path) else _MAKE_FILE)
            found = f"{error.found} at {path}"
            problems.append(
                Problem(origin, "app", "environment_file", error.expected, found, remedy)
            )
        else:
            secrets[path] = text
    return settings, secrets, problems


def _with_variables(settings: Settings, text: str) -> Settings:
    """Return the settings with the variables of this text added. Raises Unexpected."""
    found = environment_variables.variables(text)
    if both := found.keys() & settings.app.environment.keys():
        raise Unexpected("no name of [app] environment", ", ".join(sorted(both)))
    return settings.model_copy(update={"secret_environment": found})


def read_secret(path: Path) -> str:
    """Return the only line of a file that only its owner may read.

    Raises `Unexpected`, which never quotes the line.
    """
    text = read_private(path)
    if not text or "\n" in text or "\0" in text:
        raise Unexpected("one line", "several" if text else "nothing")
    return text


def read_private(path: Path) -> str:
    """Return the text of a file that only its owner may read.

    Raises `Unexpected`, which never quotes the text.
    """
    expected = "a file that only its owner may read (chmod 600)"
    try:
        # Without O_NONBLOCK, the open of a named pipe would wait until another process opens the
        # pipe for writing.
        with open(
            path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
        ) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Unexpected(expected, "something that is no file")
            if mode & 0o077:
                raise Unexpected(expected, f"mode {mode_text(mode)}")
            data = file.read(_LONGEST_SECRET + 1)
            if len(data) > _LONGEST_SECRET:
                raise Unexpected(f"at most {_LONGEST_SECRET} bytes", "more")
            return data.decode("utf-8").strip()
    except OSError as error:
        raise Unexpected(expected, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise Unexpected("UTF-8 text", "other bytes") from None
