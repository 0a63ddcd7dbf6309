"""How the demo's tasks call the API: one call a slot, and nothing but the call while the slot is open."""

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
    """One GET of a document under the quota `documents`, whatever its status. Raises requests.RequestException."""
    url, headers = f"{demo.api}/documents/{number}", {"Authorization": f"Bearer {demo.key}"}
    with quota("documents").call() as call:
        try:
            # A redirect that is followed would be a second call in one slot.
            response = session().get(url, headers=headers, timeout=_TIMEOUT, allow_redirects=False)
        except requests.ConnectionError as error:
            if never_sent(error):
                call.not_sent()
            raise
        call.observe(response.status_code, response.headers)
    return response


def never_sent(error: requests.ConnectionError) -> bool:
    """Whether the call provably never left: no connection was ever made. A broken connection proves nothing."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def retry_in(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds after which a call with this answer is worth another try; None when it would end the same way."""
    if status != HTTPStatus.TOO_MANY_REQUESTS and status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    return retry_after(headers, datetime.now(UTC)) or 1.0


def session() -> requests.Session:
    """The connection of this process, kept open from call to call."""
    return _session(os.getpid())  # a child that shared its parent's socket would read the parent's answers


@lru_cache(maxsize=1)
def _session(_pid: int) -> requests.Session:
    made = requests.Session()
    made.trust_env = False  # no proxy or password from the environment: it configures nothing here
    return made
