"""Celery's loader for a program of a project that sends tasks and is no daemon of Warren's.

A web application of Django, or a script, makes its own app. With this loader, which Celery takes
from the program's environment, that app has Warren's settings, and the project's code stays as it
is:

    CELERY_LOADER=warren.app.client_loader:Loader
    WARREN_CONFIG=/etc/shop/warren
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.loaders.app import AppLoader

from warren.config import Settings, load


class Loader(AppLoader):
    """A loader that puts its app under the settings of WARREN_CONFIG, by default /etc/warren."""

    def __init__(self, app: Celery, **options: Any) -> None:
        """Read the settings. Raises ConfigError, at the first use of the app's settings."""
        super().__init__(app, **options)
        self._settings = _settings()
        # After the app's own settings, which may come from Django's: Celery sends this signal when
        # it has read them, before anything uses them.
        app.on_after_configure.connect(self._put_under, weak=False)

    def _put_under(self, sender: Celery, **_: Any) -> None:
        from warren.app.factory import put_under  # it loads the brokers' code: not at each import

        put_under(sender, self._settings)


def _settings() -> Settings:
    directory = os.environ.get("WARREN_CONFIG")
    return load(Path(directory) if directory else None, os.environ.get("WARREN_HOST"))
