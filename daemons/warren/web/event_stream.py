"""The stream of server-sent events about one task, until the task has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from warren.tasks.result_text import json_of
from warren.web.refusals import Refused

#: Streams at once, of one client and of all; each looks at its task twice a second.
MOST_OF_CLIENT, MOST = 25, 100
_LOOK = 0.5  # seconds
#: Seconds without a change after which a line is sent all the same: proxies close silent streams.
_SILENCE = 15.0


async def events(
    look: Callable[[], Awaitable[dict[str, Any]]], closing: Callable[[], bool]
) -> AsyncIterator[str]:
    """Yield an event each time that the state of the task changes.

    `look` returns the state. The last event has `ended`. The stream ends early when the daemon
    stops (`closing`); a browser then opens it again by itself.
    """
    last, silent = None, 0.0
    while not closing():
        try:
            found = await look()
        except Refused as error:
            yield f"event: unavailable\ndata: {json_of({'detail': error.detail})}\n\n"
            return
        if found != last:
            yield f"event: state\ndata: {json_of(found)}\n\n"
            last, silent = found, 0.0
        if found["ended"]:
            return
        if silent >= _SILENCE:
            yield ": still there\n\n"
            silent = 0.0
        await asyncio.sleep(_LOOK)
        silent += _LOOK
