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

    @property
    def conf(self) -> Any:
        """Return the app's own settings, as Celery reads them before their first use.

        Raises ConfigError when the settings of Warren are wrong.
        """
        settings = _settings()

        def put(sender: Celery, **_: Any) -> None:
            from warren.app.factory import put_under  # it loads the code of the brokers

            put_under(sender, settings)

        # Celery sends this signal when it has read the app's own settings, before anything uses
        # them. It can be connected only now: with Django, an app makes its loader before its
        # signals.
        self.app.on_after_configure.connect(put, weak=False, dispatch_uid=__name__)
        return super().conf


def _settings() -> Settings:
    directory = os.environ.get("WARREN_CONFIG")
    return load(Path(directory) if directory else None, os.environ.get("WARREN_HOST"))
