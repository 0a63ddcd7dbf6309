"""The command by which one process of the suite starts another."""

from __future__ import annotations

import sys

from warren.config import Settings


def own_command(settings: Settings, *verb: str) -> list[str]:
    """Return the command that runs a verb of Warren, with its arguments, by these settings.

    The command names the host, because the host may have been chosen by --host or WARREN_HOST. With
    -P no task is imported from the directory in which somebody typed the command.
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
