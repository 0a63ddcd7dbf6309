"""Passwords in files that others may read, judged as the file of `url_file` is."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from warren.config.settings import CELERY, Settings
from warren.errors import Problem
from warren.redaction import redact_value
from warren.redaction_urls import redact_urls

_REMEDY = "write the URL to a file of its own that only the suite's user may read (chmod 600), and name that with url_file"
_IN_CELERY = "move the line to a file of conf.d that only the suite's user may read (chmod 600)"
#: The path of a key and no secret itself, whatever its name sounds like.
_PATHS = ("security_key",)


def check(settings: Settings) -> Iterator[Problem]:
    """Each password that an INI file holds and that another user than the file's may read."""
    for section, option, remedy in _passwords(settings):
        origin = settings.origin(section, option)
        mode = others_may_read(origin.file) if origin.file else ""
        if mode:
            expected = "a file that only its owner may read (chmod 600), as a password stands here"
            yield Problem(origin, section, option, expected, mode, remedy)


def _passwords(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Section, option and remedy of each; a URL that came from its url_file was looked at there."""
    for section, part in (("broker", settings.broker), ("results", settings.results)):
        if part.url is not None and part.url_file is None:
            url = part.url.get_secret_value()
            if redact_urls(url) != url:
                yield section, "url", _REMEDY
    for option, value in settings.celery.items():
        if option not in _PATHS and redact_value(value, option) != value:
            yield CELERY, option, _IN_CELERY


def others_may_read(path: Path) -> str:
    """The mode, in words, of a file that users other than its owner can read; empty when they cannot, or it is not there.

    A folder above it that nobody else may enter guards it as well. Group root has no member who may not read it anyway.
    """
    try:
        real = path.resolve()
        status = real.stat()
        group = status.st_mode & stat.S_IRGRP and status.st_gid != 0
        entered = stat.S_IXOTH | stat.S_IXGRP  # by the members of a folder's group, whoever they are
        guarded = any(not folder.stat().st_mode & entered for folder in real.parents)
    except OSError:
        return ""
    if guarded or not (group or status.st_mode & stat.S_IROTH):
        return ""
    return f"mode {stat.S_IMODE(status.st_mode):04o}"
