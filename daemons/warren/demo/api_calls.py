"""The calls of the demo's tasks to the API.

Each call takes one slot, which is open only for the call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus

import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError

from warren.demo.demo_settings import DemoSettings
from warren.quotas.client import quota
from warren.quotas.headers import retry_after

_TIMEOUT = (2.0, 5.0)  # seconds: to connect, and between two bytes of the answer


def fetch(demo: DemoSettings, number: int) -> requests.Response:
    """Return the answer, of any status, to one GET of a document under the quota `documents`.

    Raises requests.RequestException.
    """
    url, headers = f"{demo.api}/documents/{number}", {"Authorization": f"Bearer {demo.key}"}
    with quota("documents").call() as call:
        try:
            # Redirects are not followed, because that would be a second call in one slot.
            response = session().get(url, headers=headers, timeout=_TIMEOUT, allow_redirects=False)
        except requests.ConnectionError as error:
            if never_sent(error):
                call.not_sent()
            raise
        call.observe(response.status_code, response.headers)
    return response


def never_sent(error: requests.ConnectionError) -> bool:
    """Return whether the call was provably never sent, because no connection was made.

    A broken connection proves nothing.
    """
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def retry_in(status: int, headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait before a retry after this answer; None if a retry cannot help."""
    if status != HTTPStatus.TOO_MANY_REQUESTS and status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    return retry_after(headers, datetime.now(UTC)) or 1.0


def session() -> requests.Session:
    """Return the session of this process. Its connection stays open from call to call."""
    # One session for each process: a child with its parent's socket would read the parent's
    # answers.
    return _session(os.getpid())


@lru_cache(maxsize=1)
def _session(_pid: int) -> requests.Session:
    made = requests.Session()
    made.trust_env = False  # use no proxy and no password from the environment
    return made
