"""What a client asks to send: read from the body of a request, and checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from inspect import Signature, signature
from typing import Annotated, Any

from kombu.utils.json import dumps, loads
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from warren.broker.nesting_depth import is_shallow
from warren.config.patterns import matches
from warren.config.web_options import WebSettings
from warren.system.printable import one_line
from warren.web.refusals import Refused

_LONGEST_WAIT = 31 * 86400.0  # seconds
_SHOWN = 200  # characters of a text of the client's that an answer repeats


class Body(BaseModel):
    """The body of `POST /tasks/NAME`.

    countdown: seconds until the task may start. expires: seconds after which it must not start any
    more. queue: by default the task's own queue.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    queue: str | None = None
    countdown: Annotated[float, Field(ge=0, le=_LONGEST_WAIT)] | None = None
    expires: Annotated[float, Field(gt=0, le=_LONGEST_WAIT)] | None = None


@dataclass(frozen=True)
class Submission:
    """A task to send, with its arguments and the options of the sending."""

    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any]


def read(name: str, text: bytes, web: WebSettings, tasks: Mapping[str, Any]) -> Submission:
    """Return what the client asks to send.

    `tasks` are Celery's tasks by name. Raises Refused.
    """
    task = tasks.get(name) if matches(name, web.tasks) else None
    if task is None:
        detail = f"expected a task of [web] tasks that this suite has, found {_shown(name)}"
        raise Refused(HTTPStatus.NOT_FOUND, detail)
    body = _body(text)
    if body.queue is not None and body.queue not in web.queues:
        detail = f"queue: expected none or a queue of [web] queues, found {_shown(body.queue)}"
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    try:
        parameters(task).bind(*body.args, **body.kwargs)
    except TypeError as error:
        detail = f"expected the arguments of {name}{parameters(task)}: {_shown(str(error))}"
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None
    options = body.model_dump(include={"queue", "countdown", "expires"}, exclude_none=True)
    return Submission(name, body.args, body.kwargs, options)


def parameters(task: Any) -> Signature:
    """Return the parameters that a client gives to the task: without `self` of a bound task.

    They have no annotations: those are for readers of Python.
    """
    try:
        found = signature(task.run)
    except (TypeError, ValueError):  # a callable of C code has none
        found = signature(lambda *args, **kwargs: None)
    return Signature([each.replace(annotation=each.empty) for each in found.parameters.values()])


def _body(text: bytes) -> Body:
    try:
        value = from_json(text or b"{}", allow_inf_nan=False)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"expected JSON: {_shown(str(error))}") from None
    try:
        body = Body.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        detail = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, _shown(detail)) from None
    if not is_shallow([body.args, body.kwargs]):
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "expected JSON that is not nested so deeply")
    try:
        # As a worker reads them: kombu makes dates and more of objects with `__type__`. A worker
        # rejects a message with a wrong one, and its task would be PENDING for ever.
        loads(dumps([body.args, body.kwargs]))
    except Exception as error:  # noqa: BLE001  each type of value has a constructor of its own
        detail = "expected arguments that a worker can read, found an object with a wrong __type__"
        reason = _shown(f"{detail}: {type(error).__name__}")
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, reason) from None
    return body


def _shown(text: str) -> str:
    return one_line(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
