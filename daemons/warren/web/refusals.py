"""The answers to requests that are refused: JSON as RFC 9457 describes it."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

#: The media type of such an answer.
MEDIA_TYPE = "application/problem+json"


class Refused(Exception):
    """A request that is refused: the status of HTTP, and what was expected and found.

    `headers` are added to the answer, such as Retry-After.
    """

    def __init__(self, status: HTTPStatus, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


async def answer(request: Request, error: Exception) -> Response:
    """Return the answer to a request that raised `Refused`, or for which there is no route."""
    if isinstance(error, Refused):
        return _answer(error.status, error.detail, error.headers)
    assert isinstance(error, HTTPException)  # noqa: S101  the two classes that are registered
    status = HTTPStatus(error.status_code)
    return _answer(status, str(error.detail), dict(error.headers or {}))


async def failed(request: Request, error: Exception) -> Response:
    """Return the answer to a request that raised what nobody expected; uvicorn logs the error."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return _answer(status, "the request failed; the log of warren web has the reason", {})


def _answer(status: HTTPStatus, detail: str, headers: dict[str, str]) -> Response:
    body: dict[str, Any] = {"title": status.phrase, "status": int(status), "detail": detail}
    return Response(json.dumps(body), int(status), headers, MEDIA_TYPE)
