"""The OpenAPI description of the HTTP entrance."""

from __future__ import annotations

from typing import Any

from warren.web.refusals import MEDIA_TYPE
from warren.web.submission import Body


def _answers(*problems: tuple[str, str], **good: dict[str, Any]) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    told = {
        status: {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, text in (*_ALWAYS, *problems)
    }
    return {**{status.removeprefix("s"): answer for status, answer in good.items()}, **told}


def _json(description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": schema}},
        **more,
    }


def _object(required: tuple[str, ...], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


_ALWAYS = (
    ("401", "No token, or a wrong one."),
    ("429", "Too many requests of this client; Retry-After says how long to wait."),
    ("503", "Too many requests at once, or the broker or the results do not answer."),
)
_TEXT = {"type": "string"}
_STATE = _object(
    ("task_id", "state", "ended"),
    task_id=_TEXT,
    state={**_TEXT, "description": "Celery's: PENDING, STARTED, PROGRESS, RETRY, SUCCESS, ..."},
    ended={"type": "boolean", "description": "Whether the state changes no more."},
    result={"description": "What the task has returned, after SUCCESS."},
    error={**_TEXT, "description": "The error that the task has ended with."},
    done={"type": "integer", "description": "Steps that are done."},
    total={"type": ["integer", "null"], "description": "All steps, if known."},
    note={**_TEXT, "description": "What the task says of its progress."},
    files={
        "type": "array",
        "description": "The files that the task has published; a link is valid for a while.",
        "items": _object(("name", "size", "url"), name=_TEXT, size={"type": "integer"}, url=_TEXT),
    },
)
_SENT = _object(
    ("task_id", "task", "state_url", "events_url"),
    task_id=_TEXT,
    task=_TEXT,
    state_url=_TEXT,
    events_url=_TEXT,
)
_EVENT = _object(("event", "data"), event=_TEXT, data=_TEXT)
_TASKS = _object(
    ("tasks",),
    tasks={"type": "array", "items": _object(("task", "parameters"), task=_TEXT, parameters=_TEXT)},
)
_PROBLEM = _object(
    ("title", "status", "detail"), title=_TEXT, status={"type": "integer"}, detail=_TEXT
)
_TASK_ID = {
    "name": "task",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -.0-~]+$"},
    "description": "The id of the task.",
}
_NAME = {
    "name": "task",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
    "description": "The name of the task, which [web] tasks must allow.",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "A second request with this key and the same body within a day sends nothing, "
    "and has the same answer.",
}
_BAD_ID = ("400", "This is no id of a task.")

DESCRIPTION: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Warren",
        "version": "1",
        "description": "Send tasks, and see their progress and results.",
    },
    "security": [{"token": []}],
    "paths": {
        "/tasks": {
            "get": {
                "summary": "The tasks that may be sent, with their parameters",
                "responses": _answers(s200=_json("The tasks.", _TASKS)),
            }
        },
        "/tasks/{task}": {
            "post": {
                "summary": "Send a task",
                "parameters": [_NAME, _KEY],
                "requestBody": {
                    "content": {"application/json": {"schema": Body.model_json_schema()}}
                },
                "responses": _answers(
                    ("400", "The body is no JSON, or the key has a wrong form."),
                    ("404", "No task of this name may be sent."),
                    ("408", "The body did not arrive in time."),
                    ("409", "A request with this key is being sent."),
                    ("413", "The body is too large."),
                    ("415", "The body is not declared as JSON."),
                    ("422", "Fields, arguments or queue are wrong, or the key is another body's."),
                    ("500", "The project's own code failed while it sent the task."),
                    s202=_json(
                        "The broker has the task.",
                        _SENT,
                        headers={"Location": {"schema": _TEXT}},
                    ),
                ),
            },
            "get": {
                "summary": "The state of a task",
                "description": "An id that nobody knows looks like a task that has not begun.",
                "parameters": [_TASK_ID],
                "responses": _answers(_BAD_ID, s200=_json("The state.", _STATE)),
            },
        },
        "/tasks/{task}/events": {
            "get": {
                "summary": "The changes of a task's state as server-sent events",
                "description": "Each event `state` has the object of /tasks/{task} as data; "
                "the last one has ended: true.",
                "parameters": [_TASK_ID],
                "responses": _answers(
                    _BAD_ID,
                    s200={
                        "description": "The events.",
                        "content": {"text/event-stream": {"schema": _EVENT}},
                    },
                ),
            }
        },
    },
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "schemas": {"Problem": _PROBLEM},
    },
}
