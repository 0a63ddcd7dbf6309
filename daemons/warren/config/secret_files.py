"""Secret files: the files that hold what no INI file may show, and the mode that they must have."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from warren.config import environment_variables, web_tokens
from warren.config.access_remedies import who_may
from warren.config.option_types import kind
from warren.config.settings import Settings
from warren.config.units import Unexpected
from warren.errors import Problem
from warren.system.users import mode_text

_LONGEST_SECRET = 65536  # bytes


@dataclass(frozen=True)
class SecretFile:
    """An option that names a file of secrets.

    read: the text of a file, or Unexpected. take: the settings with what the text says, or
    Unexpected. missing: what to do when there is no file.
    """

    section: str
    option: str
    read: Callable[[Path], str]
    take: Callable[[Settings, str], Settings]
    missing: str


def with_secrets(
    settings: Settings, known: Mapping[Path, str]
) -> tuple[Settings, dict[Path, str], list[Problem]]:
    """Return the settings with the content of the secret files, the texts of these files, and
    problems.

    A file is a problem if it is missing, if other users may read it, or if it holds something other
    than its option asks for.

    known: texts of files that are not read again.
    """
    problems: list[Problem] = []
    secrets: dict[Path, str] = {}
    for each in _FILES:
        path: Path | None = getattr(getattr(settings, each.section), each.option)
        if path is None:
            continue
        if problem := _written_twice(settings, each):
            problems.append(problem)
            continue
        try:
            text = known[path] if path in known else each.read(path)
            settings = each.take(settings, text)
        except Unexpected as error:
            remedy = who_may(path, secret=True) or ("" if os.path.lexists(path) else each.missing)
            origin = settings.origin(each.section, each.option)
            found = f"{error.found} at {path}"
            problems.append(
                Problem(origin, each.section, each.option, error.expected, found, remedy)
            )
        else:
            secrets[path] = text
    return settings, secrets, problems


def _written_twice(settings: Settings, file: SecretFile) -> Problem | None:
    """Return the problem of a section that has a URL beside the file of the URL."""
    if file.option != "url_file" or getattr(settings, file.section).url is None:
        return None
    other = f"url as well, at {settings.origin(file.section, 'url')}"
    origin = settings.origin(file.section, "url_file")
    expected = "one of url and url_file"
    return Problem(origin, file.section, "url_file", expected, other, "remove one")


def _with_url(section: str) -> Callable[[Settings, str], Settings]:
    """Return what puts the text of a url_file into the section."""

    def take(settings: Settings, text: str) -> Settings:
        part = getattr(settings, section)
        url = kind(type(part).model_fields["url"]).read(text)
        return settings.model_copy(update={section: part.model_copy(update={"url": url})})

    return take


def _with_variables(settings: Settings, text: str) -> Settings:
    """Return the settings with the variables of this text added. Raises Unexpected."""
    found = environment_variables.variables(text)
    if both := found.keys() & settings.app.environment.keys():
        raise Unexpected("no name of [app] environment", ", ".join(sorted(both)))
    return settings.model_copy(update={"secret_environment": found})


def _with_tokens(settings: Settings, text: str) -> Settings:
    return settings.model_copy(update={"web_tokens": web_tokens.tokens(text)})


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


_FILES = (
    SecretFile(
        "broker",
        "url_file",
        read_secret,
        _with_url("broker"),
        "make the file with the URL (chmod 600), or remove the line for the embedded broker",
    ),
    SecretFile(
        "results",
        "url_file",
        read_secret,
        _with_url("results"),
        "make the file with the URL (chmod 600), or remove the line to keep results with the "
        "broker",
    ),
    SecretFile(
        "app",
        "environment_file",
        read_private,
        _with_variables,
        "make the file with lines NAME=value (chmod 600), or remove the line",
    ),
    SecretFile(
        "web",
        "token_file",
        read_private,
        _with_tokens,
        "make the file with lines NAME TOKEN (chmod 600)",
    ),
)
