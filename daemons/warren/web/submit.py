"""`POST /tasks/NAME`: checks a request, sends its task once, and answers with the task's id."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import uuid
from hashlib import sha256
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.tasks.result_text import json_of
from warren.web import submission
from warren.web.entrance import Entrance
from warren.web.known_keys import Known
from warren.web.refusals import Refused
from warren.web.sending_threads import NotSent
from warren.web.submission import Submission

_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)
#: Seconds in which the whole body of a request must have arrived.
_BODY = 10.0


async def submit(request: Request) -> Response:
    """Send the task that the request names; answer with its id."""
    entrance: Entrance = request.app.state.entrance
    client = entrance.clients.client(request)
    text = await _body(request, entrance.web.largest_request)
    wanted = submission.read(request.path_params["task"], text, entrance.web, entrance.app.tasks)
    key = _key(request)
    if key is None:
        task_id = str(uuid.uuid4())
        await entrance.sender.run(lambda: _send(entrance, client, wanted, task_id, once=False))
    else:
        task_id = await _once(entrance, client, key, wanted, text)
    path = f"/tasks/{task_id}"
    said = {"task_id": task_id, "task": wanted.task, "state_url": path}
    said["events_url"] = f"{path}/events"
    return Response(
        json_of(said), HTTPStatus.ACCEPTED, {"Location": path}, media_type="application/json"
    )


async def _once(entrance: Entrance, client: str, key: str, wanted: Submission, text: bytes) -> str:
    """Send the task unless a request with this key has sent it; return its id. Raises Refused."""
    if (client, key) in entrance.sending:
        detail = "a request with this Idempotency-Key is being sent; ask again"
        raise Refused(HTTPStatus.CONFLICT, detail, Retry_After="1")
    entrance.sending.add((client, key))
    # A task of its own, and shielded: the end of the request must not free the key while its task
    # is being sent.
    sending = asyncio.ensure_future(
        entrance.sender.run(lambda: _send_once(entrance, client, key, wanted, text))
    )
    sending.add_done_callback(lambda _: entrance.sending.discard((client, key)))
    return await asyncio.shield(sending)


def _send_once(entrance: Entrance, client: str, key: str, wanted: Submission, text: bytes) -> str:
    keys = entrance.keys
    digest = sha256(wanted.task.encode() + b"\0" + text).digest()
    fresh = str(uuid.uuid4())
    try:
        # On the disk before the task is sent: after a kill the next request with this key sends
        # under the same id, and a worker drops the second message of an id that has ended.
        known = keys.begin(client, key, digest, fresh) or Known(digest, fresh, sent=False)
        if known.digest != digest:
            detail = "this Idempotency-Key came with another request before; make a new key"
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        if not known.sent:
            try:
                _send(entrance, client, wanted, known.task_id, once=True)
            except NotSent as error:
                if error.certain:
                    keys.forget(client, key)
                raise
            _note_sent(entrance, client, key, known.task_id)
    except sqlite3.Error as error:
        logger().error(Event.WEB_FAILED, reason=f"idempotency keys: {error}")
        detail = "the Idempotency-Key cannot be stored"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail, Retry_After="5") from None
    return known.task_id


def _note_sent(entrance: Entrance, client: str, key: str, task_id: str) -> None:
    """Store that the task was sent. A failure is no refusal: the client would send it again."""
    try:
        entrance.keys.sent(client, key)
    except sqlite3.Error as error:
        consequence = "another request with this key sends the task again, with the same id"
        reason = f"idempotency keys: {error}"
        logger().error(Event.WEB_FAILED, reason=reason, task_id=task_id, consequence=consequence)


def _send(entrance: Entrance, client: str, wanted: Submission, task_id: str, once: bool) -> None:
    entrance.sender.send(wanted, task_id, once)
    logger().info(Event.WEB_SENT, client=client, task=wanted.task, task_id=task_id)


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        detail = "Idempotency-Key: expected 1 to 255 printable ASCII characters without blanks"
        raise Refused(HTTPStatus.BAD_REQUEST, detail)
    return key


async def _body(request: Request, most: int) -> bytes:
    """Return the body. Raises Refused for another type than JSON, a large body, and a late one."""
    text = bytearray()
    try:
        async with asyncio.timeout(_BODY):
            async for part in request.stream():
                text += part
                if len(text) > most:
                    detail = f"expected a body of at most {most} bytes, found more"
                    raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, Connection="close")
    except ClientDisconnect:  # nobody reads this answer; uvicorn would log a traceback
        raise Refused(HTTPStatus.BAD_REQUEST, "the client has gone") from None
    except TimeoutError:
        detail = f"expected the whole body within {_BODY:g} s"
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, detail, Connection="close") from None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if text and kind != "application/json":
        detail = "expected Content-Type: application/json"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    return bytes(text)
