"""Which messages the channels of Redis and of the embedded broker keep back until they are due, as they are sent."""

from __future__ import annotations

import time
from typing import Any

from warren.broker.moments import moment

#: What is due within so many seconds goes to its queue at once: the worker keeps it, which is exact.
NEAR = 60.0
#: What is kept back comes to its queue so many seconds before it is due, and waits for its moment in the worker.
LEAD = 5.0
#: Seconds that an ETA may lie ahead: a schedule has beat, or a database.
FARTHEST = 366 * 86400.0


def comes_at(message: dict[str, Any]) -> float | None:
    """Return when (seconds, wall clock) the message is to come to its queue; None: at once."""
    eta = (message.get("headers") or {}).get("eta")
    if not isinstance(eta, str):
        return None
    try:
        due = moment(eta).timestamp()
    except ValueError:
        return None  # the worker rejects it
    # One that is farther than any may be goes to its queue, and a worker rejects it now: in a year nobody would know why.
    return due - LEAD if NEAR < due - time.time() <= FARTHEST else None
