"""The environment variables of a project's code: `[app] environment` and `environment_file`."""

from __future__ import annotations

import os
import time

from warren.config import Settings


def set_variables(settings: Settings) -> None:
    """Give this process the variables of the settings, before it imports the project's code.

    Daemons and commands of Warren call this. A program that calls `make_app` keeps its own
    environment, which may have other values on purpose.
    """
    os.environ.update(settings.environment)
    if "TZ" in settings.environment:
        time.tzset()  # else only the processes that this one starts would take it
