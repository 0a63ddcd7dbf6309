"""Loading of the settings: `load` returns them or raises all problems; `attempt` returns both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from warren.config import (
    exposed_secrets,
    path_checks,
    reader,
    secret_files,
    section_checks,
    snapshot,
    validator,
)
from warren.config.paths import short_host
from warren.config.reader import DEFAULT_DIRECTORY
from warren.config.settings import Settings
from warren.config.snapshot import Accepted
from warren.config.units import Unexpected
from warren.config.values import name
from warren.errors import ConfigError, Origin, Problem


def load(
    directory: Path | None = None, host: str | None = None, source: Path | None = None
) -> Settings:
    """Return the settings that the files in `directory` give the host.

    The defaults are /etc/warren and this host's short name. Reads warren.ini, then conf.d/*.ini by
    name, then hosts/HOST.ini; a later value wins. Raises `ConfigError` with all problems of all
    files, in reading order.

    source: where to read what the files held when the suite accepted them. If that is not possible,
    raises `Unavailable`.
    """
    settings, problems = attempt(directory, host, source)
    if problems or settings is None:
        raise ConfigError(problems)
    return settings


def load_again(settings: Settings) -> Settings:
    """Read the settings again from the source of these settings. Raises `ConfigError`,
    `Unavailable`.
    """
    return load(settings.directory, settings.host, settings.source)


def attempt(
    directory: Path | None = None, host: str | None = None, source: Path | None = None
) -> tuple[Settings | None, list[Problem]]:
    """Return the settings, as far as they can be built, and all problems.

    Reads the same files as `load`, for callers that look for further problems. A wrong option has
    its default in these settings, or is left out with its section. Returns None for the settings
    when a file could not be read, because that file might have changed any of them.
    """
    directory = (directory or DEFAULT_DIRECTORY).absolute()
    host = host or short_host()
    try:
        name(host)
    except Unexpected as error:
        remedy = "name it with --host or WARREN_HOST"
        return None, [Problem(Origin(), "", "host", error.expected, error.found, remedy)]
    # Taken before the first file is read: a later reading, which sees later edits, gets a higher
    # number.
    generation = snapshot.generation_now()
    kept = snapshot.read(source) if source else None
    ini = reader.read_again(kept.files) if kept else reader.read(directory, host)
    settings, problems = validator.build(ini, directory, host)
    # The headings of sections whose settings differ from what the files say.
    broken = frozenset(problem.section for problem in problems)
    settings, secrets, found = secret_files.with_secrets(settings, kept.secrets if kept else {})
    taken = Accepted(kept.generation if kept else generation, ini.texts, secrets)
    settings = settings.model_copy(update={"accepted": taken, "source": source})
    problems += [*found, *path_checks.check(settings)]
    # What was accepted does not depend on the current modes of the files.
    if not (kept and kept.generation):
        problems += exposed_secrets.check(settings)
    # Without this, a queue that is declared in the unreadable file would be reported as undeclared.
    if ini.complete:
        problems += section_checks.check(settings, broken)
    problems = [*ini.problems, *(validator.hinted(problem, ini) for problem in problems)]
    return settings if ini.complete else None, in_reading_order(problems, ini.files)


def in_reading_order(problems: Iterable[Problem], files: Sequence[Path]) -> list[Problem]:
    """Return each problem once, in reading order. Pure.

    Problems of no file come first, then those of the INI files as they were read, then those of
    other files.
    """
    ranks = {file: rank for rank, file in enumerate(files)}

    def position(problem: Problem) -> tuple[int, str, int, str, str]:
        file, line = problem.origin.file, problem.origin.line
        rank = -1 if file is None else ranks.get(file, len(ranks))
        return rank, str(file or ""), line or 0, problem.option, problem.expected

    return sorted(set(problems), key=position)
