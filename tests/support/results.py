"""What may stand in the place of a task's result, and is none."""

from __future__ import annotations

import bz2
import json
from typing import Any

from celery.backends.base import COMPRESSED_PAYLOAD_MAGIC


def _of(**fields: Any) -> bytes:
    whole = {
        "status": "SUCCESS",
        "result": 1,
        "traceback": None,
        "children": [],
        "task_id": "known",
    }
    return json.dumps({**whole, **fields}).encode()


#: The id of their task is `known`.
MALFORMED: tuple[bytes, ...] = (
    b"x",
    b"\xff\xfe",
    b"{}",
    b"[]",
    b"5",
    b"[" * 100_000,
    b'{"status":"SUCCESS"}',
    _of(status=["SUCCESS"]),
    _of(status=None),
    _of(status="FAILURE", result=5),
    _of(status="FAILURE", result={}),
    _of(status="FAILURE", result={"exc_type": 5, "exc_module": 7, "exc_message": 1}),
    _of(
        status="FAILURE", result={"exc_type": "system", "exc_module": "os", "exc_message": ["true"]}
    ),
    _of(children=5),
    _of(children=[5]),
    _of(children=[[["x", 5], 7]]),
    _of(traceback=5),
    _of(task_id=5),
    _of(task_id="another"),
    _of(result={"__type__": "datetime", "__value__": "never"}),
    COMPRESSED_PAYLOAD_MAGIC + b"application/x-bz2\0" + bz2.compress(bytes(60_000_000)),
    COMPRESSED_PAYLOAD_MAGIC + b"x",
)
