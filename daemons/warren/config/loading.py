"""`load`: the INI files of one host in, frozen typed settings out, or every problem at once. `attempt`: what there is of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from warren.config import accepted, checks, exposure, places, reader, validator
from warren.config.accepted import Accepted
from warren.config.folders import short_host
from warren.config.reader import DEFAULT_FOLDER
from warren.config.settings import Settings
from warren.config.units import Unexpected
from warren.config.values import name
from warren.errors import ConfigError, Origin, Problem


def load(folder: Path | None = None, host: str | None = None, source: Path | None = None) -> Settings:
    """The settings that the files in `folder` give the host; by default /etc/warren and this host's short name.

    Reads warren.ini, then conf.d/*.ini by name, then hosts/HOST.ini; a later value wins. Raises `ConfigError` with all
    problems of all files, in reading order. With a `source` what the files held when the suite accepted them is read
    there; raises `Unavailable` where that cannot be.
    """
    settings, problems = attempt(folder, host, source)
    if problems or settings is None:
        raise ConfigError(problems)
    return settings


def load_again(settings: Settings) -> Settings:
    """The settings as they are now, read from where these were. Raises `ConfigError`, `Unavailable`."""
    return load(settings.folder, settings.host, settings.source)


def attempt(
    folder: Path | None = None, host: str | None = None, source: Path | None = None
) -> tuple[Settings | None, list[Problem]]:
    """As `load`, but the settings as far as they can be built beside all their problems: for who looks for more of these.

    What is wrong has its default in them, or is left out with its section. None when a file could not be read: nobody knows
    what it would have changed.
    """
    folder = (folder or DEFAULT_FOLDER).absolute()
    host = host or short_host()
    try:
        name(host)
    except Unexpected as error:
        remedy = "name it with --host or WARREN_HOST"
        return None, [Problem(Origin(), "", "host", error.expected, error.found, remedy)]
    generation = accepted.generation_now()  # before the first file: whoever reads later has seen later edits
    kept = accepted.read(source) if source else None
    ini = reader.read_again(kept.files) if kept else reader.read(folder, host)
    settings, problems = validator.build(ini, folder, host)
    # Headings of the sections that are not as their files have them.
    broken = frozenset(problem.section for problem in problems)
    settings, secrets, found = places.with_secrets(settings, kept.secrets if kept else {})
    taken = Accepted(kept.generation if kept else generation, ini.texts, secrets)
    settings = settings.model_copy(update={"accepted": taken, "source": source})
    problems += [*found, *places.check(settings)]
    if not (kept and kept.generation):  # who may read the files by now says nothing of what was accepted
        problems += exposure.check(settings)
    if ini.complete:  # else a queue that no file seems to declare may stand in the one that cannot be read
        problems += checks.check(settings, broken)
    problems = [*ini.problems, *(validator.hinted(problem, ini) for problem in problems)]
    return settings if ini.complete else None, in_reading_order(problems, ini.files)


def in_reading_order(problems: Iterable[Problem], files: Sequence[Path]) -> list[Problem]:
    """Each problem once: those of no file, then those of the INI files as they were read, then those of other files. Pure."""
    ranks = {file: rank for rank, file in enumerate(files)}

    def place(problem: Problem) -> tuple[int, str, int, str, str]:
        file, line = problem.origin.file, problem.origin.line
        rank = -1 if file is None else ranks.get(file, len(ranks))
        return rank, str(file or ""), line or 0, problem.option, problem.expected

    return sorted(set(problems), key=place)
