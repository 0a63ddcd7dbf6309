"""The routes of the HTTP entrance."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from warren.config.patterns import matches
from warren.tasks.result_text import json_of
from warren.web import event_stream, openapi, task_state
from warren.web.downloads import download
from warren.web.entrance import MOST_READING, Entrance
from warren.web.page_files import PATHS, page
from warren.web.refusals import Refused, answer, failed
from warren.web.security_headers import SecurityHeaders
from warren.web.submission import parameters
from warren.web.submit import submit

_Value = TypeVar("_Value")


def application(entrance: Entrance) -> Any:
    """Return the ASGI application."""
    app = Starlette(
        routes=[
            *(Route(path, page, methods=["GET"]) for path in PATHS),
            Route("/openapi.json", description, methods=["GET"]),
            Route("/tasks", tasks, methods=["GET"]),
            Route("/tasks/{task}", task, methods=["GET", "POST"]),
            Route("/tasks/{task}/events", events, methods=["GET"]),
            Route("/files/{task}/{name}", download, methods=["GET"]),
        ],
        exception_handlers={Refused: answer, HTTPException: answer, Exception: failed},
    )
    app.router.redirect_slashes = False
    app.state.entrance = entrance
    return SecurityHeaders(app)


async def description(request: Request) -> Response:
    """Answer with the OpenAPI description of these routes."""
    return _json(openapi.DESCRIPTION)


async def tasks(request: Request) -> Response:
    """Answer with the tasks that the client may send, and their parameters."""
    entrance: Entrance = request.app.state.entrance
    entrance.clients.client(request)
    return _json(
        {
            "tasks": [
                {"task": name, "parameters": str(parameters(each))}
                for name, each in sorted(entrance.app.tasks.items())
                if matches(name, entrance.web.tasks)
            ]
        }
    )


async def task(request: Request) -> Response:
    """Send the task that is named, or answer with the state of the task that has this id."""
    try:
        return await (submit(request) if request.method == "POST" else _told(request))
    except asyncio.CancelledError:  # the daemon ends, and its time is over
        detail = "warren web ends: a task may have been sent; ask again, with the same key"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail, Retry_After="5") from None


async def _told(request: Request) -> Response:
    entrance: Entrance = request.app.state.entrance
    entrance.clients.client(request)
    task_id = task_state.checked_id(request.path_params["task"])
    found = await _read(entrance, lambda: json_of(_state(entrance, task_id)))
    return Response(found, media_type="application/json")


async def events(request: Request) -> Response:
    """Answer with the changes of a task's state, until it has ended."""
    entrance: Entrance = request.app.state.entrance
    client = entrance.clients.client(request)
    task_id = task_state.checked_id(request.path_params["task"])
    most, streams = event_stream.MOST_OF_CLIENT, entrance.streams
    if streams[client] >= most or streams.total() >= event_stream.MOST:
        detail = f"expected at most {most} streams of a client and {event_stream.MOST} of all"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"{detail}, found more", Retry_After="5")
    return _Stream(
        event_stream.events(
            lambda: _read(entrance, lambda: _state(entrance, task_id)), lambda: entrance.stopping
        ),
        client,
        streams,
    )


class _Stream(StreamingResponse):
    """An answer with events, counted from before its first await until its end."""

    def __init__(self, look: AsyncIterator[str], client: str, streams: Counter[str]) -> None:
        super().__init__(look, media_type="text/event-stream")
        self._client, self._streams = client, streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, until the client has gone. A HEAD gets the headers alone."""
        if scope["method"] == "HEAD":
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body"})
            return
        self._streams[self._client] += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams[self._client] -= 1


async def _read(entrance: Entrance, act: Callable[[], _Value]) -> _Value:
    """Return what `act` returns, which reads results, in a thread. Raises Refused."""
    if entrance.reading >= MOST_READING:
        detail = f"expected at most {MOST_READING} reads of results at once, found more"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail, Retry_After="5")
    entrance.reading += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(entrance.readers, act)
    finally:
        entrance.reading -= 1


def _state(entrance: Entrance, task_id: str) -> dict[str, Any]:
    """Return the state of a task, with links to its files. For a thread. Raises Refused."""
    found = task_state.state(entrance.app, task_id)
    if files := entrance.links.of(task_id):
        found["files"] = files
    return found


def _json(value: Any) -> Response:
    return Response(json_of(value), media_type="application/json")
