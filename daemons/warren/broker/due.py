"""The choice of messages that Redis and the embedded broker hold back until they are due.

Their channels make it when a message is sent.
"""

from __future__ import annotations

import time
from typing import Any

from warren.broker.timestamps import moment

#: A message that is due within so many seconds goes to its queue at once: the worker keeps it, and
#: is exact.
NEAR = 60.0
#: A message that was held back comes to its queue so many seconds before it is due, and waits for
#: its time in the worker.
LEAD = 5.0
#: The most seconds that an ETA may lie ahead: longer schedules belong in beat, or in a database.
FARTHEST = 366 * 86400.0


def comes_at(message: dict[str, Any]) -> float | None:
    """Return when (seconds, wall clock) the message must come to its queue; None: at once."""
    eta = (message.get("headers") or {}).get("eta")
    if not isinstance(eta, str):
        return None
    try:
        due = moment(eta).timestamp()
    except ValueError:
        return None  # the worker rejects it
    # An ETA beyond the limit goes to its queue, and a worker rejects it now: in a year the reason
    # would be unknown.
    return due - LEAD if NEAR < due - time.time() <= FARTHEST else None
