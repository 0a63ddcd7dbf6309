"""The choice of messages that Redis and the embedded broker hold back until they are due.

The channels of these brokers choose when a message is sent.
"""

from __future__ import annotations

import time
from typing import Any

from warren.broker.timestamps import moment

#: Seconds. A message that is due within this time goes to its queue at once. The worker keeps it,
#: and starts its task at the exact time.
NEAR = 60.0
#: Seconds. A message that was held back comes to its queue so early before it is due, and the
#: worker keeps it until then.
LEAD = 5.0
#: The most seconds that an ETA may lie ahead. Longer schedules belong in beat or in a database.
FARTHEST = 366 * 86400.0


def comes_at(message: dict[str, Any]) -> float | None:
    """Return when the message must come to its queue (seconds since the epoch); None: at once."""
    eta = (message.get("headers") or {}).get("eta")
    if not isinstance(eta, str):
        return None
    try:
        due = moment(eta).timestamp()
    except ValueError:
        return None  # the worker rejects this message
    # A message with an ETA beyond the limit goes to its queue, and a worker rejects it now. In a
    # year nobody would know the reason.
    return due - LEAD if NEAR < due - time.time() <= FARTHEST else None
