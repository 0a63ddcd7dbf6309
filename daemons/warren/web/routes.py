"""The routes of the HTTP entrance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from warren.config.patterns import matches
from warren.tasks.result_text import json_of
from warren.web import event_stream, openapi, task_state
from warren.web.downloads import download
from warren.web.entrance import Entrance
from warren.web.page_files import PATHS, page
from warren.web.refusals import Refused, answer
from warren.web.security_headers import SecurityHeaders
from warren.web.submission import parameters
from warren.web.submit import submit


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
        exception_handlers={Refused: answer, HTTPException: answer},
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
    if request.method == "POST":
        return await submit(request)
    entrance: Entrance = request.app.state.entrance
    entrance.clients.client(request)
    return _json(await _look(entrance, task_state.checked_id(request.path_params["task"])))


async def events(request: Request) -> Response:
    """Answer with the changes of a task's state, until it has ended."""
    entrance: Entrance = request.app.state.entrance
    client = entrance.clients.client(request)
    task_id = task_state.checked_id(request.path_params["task"])
    most, streams = event_stream.MOST_OF_CLIENT, entrance.streams
    if streams[client] >= most or streams.total() >= event_stream.MOST:
        detail = f"expected at most {most} streams of a client and {event_stream.MOST} of all"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"{detail}, found more", Retry_After="5")
    return StreamingResponse(_counted(entrance, client, task_id), media_type="text/event-stream")


async def _counted(entrance: Entrance, client: str, task_id: str) -> AsyncIterator[str]:
    entrance.streams[client] += 1
    try:
        look = event_stream.events(lambda: _look(entrance, task_id), lambda: entrance.stopping)
        async for event in look:
            yield event
    finally:
        entrance.streams[client] -= 1


async def _look(entrance: Entrance, task_id: str) -> dict[str, Any]:
    return await asyncio.get_running_loop().run_in_executor(
        entrance.readers, _state, entrance, task_id
    )


def _state(entrance: Entrance, task_id: str) -> dict[str, Any]:
    """Return the state of a task, with links to its files. For a thread. Raises Refused."""
    found = task_state.state(entrance.app, task_id)
    if files := entrance.links.of(task_id):
        found["files"] = files
    return found


def _json(value: Any) -> Response:
    return Response(json_of(value), media_type="application/json")
