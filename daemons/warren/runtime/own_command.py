"""The command by which one process of the suite starts another."""

from __future__ import annotations

import sys

from warren.config import Settings


def own_command(settings: Settings, *verb: str) -> list[str]:
    """Return the command that runs a verb of Warren, with its arguments, by these settings.

    The host is named, because it may have been chosen by --host or WARREN_HOST. -P: tasks must not
    be imported from the directory in which somebody typed the command.
    """
    return [
        sys.executable,
        "-P",
        "-m",
        "warren",
        "--config",
        str(settings.directory),
        "--host",
        settings.host,
        *verb,
    ]
