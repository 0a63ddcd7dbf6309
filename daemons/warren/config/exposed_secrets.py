"""Passwords in INI files that other users may read.

The rule for a file's mode is the same as for `url_file`.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from warren.config.secret_options import (
    celery_has_secret,
    url_has_password,
    variables_have_secret,
)
from warren.config.settings import CELERY, Settings
from warren.errors import Problem
from warren.system.users import mode_text

_REMEDY = (
    "write the URL to a file of its own that only the suite's user may read (chmod 600), and name "
    "that with url_file"
)
_IN_ENVIRONMENT = (
    "write the line to a file of its own that only the suite's user may read (chmod 600), and name "
    "that with [app] environment_file"
)
_IN_CELERY = "move the line to a file of conf.d that only the suite's user may read (chmod 600)"


def check(settings: Settings) -> Iterator[Problem]:
    """Yield a problem for each password in an INI file that users other than its owner may read."""
    for section, option, remedy in _passwords(settings):
        origin = settings.origin(section, option)
        mode = others_may_read(origin.file) if origin.file else ""
        if mode:
            expected = "a file that only its owner may read (chmod 600), as a password stands here"
            yield Problem(origin, section, option, expected, mode, remedy)


def _passwords(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield section, option and remedy for each password in the settings.

    The URL of a url_file is left out, because the mode of that file was checked before.
    """
    for section, part in (("broker", settings.broker), ("results", settings.results)):
        if part.url is not None and part.url_file is None and url_has_password(part.url):
            yield section, "url", _REMEDY
    if variables_have_secret(settings.app.environment):
        yield "app", "environment", _IN_ENVIRONMENT
    for option, value in settings.celery.items():
        if celery_has_secret(option, value):
            yield CELERY, option, _IN_CELERY


def others_may_read(path: Path) -> str:
    """Return the mode, in words, of a file that users other than its owner may read; else empty.

    Returns an empty text also when the file does not exist. A directory above the file that no
    other user may enter protects the file. Membership in the group root does not count: its members
    may read the file anyway.
    """
    try:
        real = path.resolve()
        status = real.stat()
        group = status.st_mode & stat.S_IRGRP and status.st_gid != 0
        entered = stat.S_IXOTH | stat.S_IXGRP  # who is in the group is not looked up
        guarded = any(not directory.stat().st_mode & entered for directory in real.parents)
    except OSError:
        return ""
    if guarded or not (group or status.st_mode & stat.S_IROTH):
        return ""
    return f"mode {mode_text(status.st_mode)}"
