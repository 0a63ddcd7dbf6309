"""`load`: the INI files of one host in, frozen typed settings out, or every problem at once."""

from __future__ import annotations

from pathlib import Path

from warren.config import checks, places, reader, validator
from warren.config.folders import short_host
from warren.config.reader import DEFAULT_FOLDER
from warren.config.settings import Settings
from warren.config.units import Unexpected
from warren.config.values import name
from warren.errors import ConfigError, Origin, Problem


def load(folder: Path | None = None, host: str | None = None) -> Settings:
    """The settings that the files in `folder` give the host; by default /etc/warren and this host's short name.

    Reads warren.ini, then conf.d/*.ini by name, then hosts/HOST.ini; a later value wins. Raises `ConfigError` with all
    problems of all files, sorted by file and line.
    """
    folder = (folder or DEFAULT_FOLDER).absolute()
    host = host or short_host()
    try:
        name(host)
    except Unexpected as error:
        remedy = "name it with --host or WARREN_HOST"
        raise ConfigError([Problem(Origin(), "", "host", error.expected, error.found, remedy)]) from None
    ini = reader.read(folder, host)
    settings, problems = validator.build(ini, folder, host)
    settings, found = places.with_secrets(settings)
    problems += [*found, *places.check(settings)]
    if ini.complete:  # else a queue that no file seems to declare may stand in the one that cannot be read
        problems += checks.check(settings, broken=_broken(ini, settings))
    problems = [*ini.problems, *(validator.hinted(problem, ini) for problem in problems)]
    if problems:
        raise ConfigError(sorted(set(problems), key=_by_place))
    return settings


def _broken(ini: reader.Ini, settings: Settings) -> frozenset[str]:
    """Headings of the sections that were left out of the settings."""
    return frozenset(ini.sections) - {heading for heading, _ in settings.sections()}


def _by_place(problem: Problem) -> tuple[str, int, str, str]:
    return str(problem.origin.file or ""), problem.origin.line or 0, problem.option, problem.expected
