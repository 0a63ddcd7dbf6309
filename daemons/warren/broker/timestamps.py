"""Times in message headers (`eta`, `expires`): one parser for the gate and Celery.

Celery reads these texts with dateutil, and the gate once read them with `datetime.fromisoformat`.
About 1,800 kinds of text had two meanings. So only RFC 3339 is accepted, and an accepted text is
replaced by one form that every parser reads alike.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"(?:[Zz]|([+-])(\d\d):(\d\d))?",
    re.ASCII,
)

#: What an error says it expected in the place of a text that is not a time.
EXPECTED = "a moment such as 2030-01-31T12:00:00+00:00 (RFC 3339)"


def moment(text: str) -> datetime:
    """Return the time in UTC. A text without an offset is in UTC already, as in Celery.

    Raises ValueError.
    """
    found = _MOMENT.fullmatch(text)
    if not found:
        raise ValueError(EXPECTED)
    *numbers, fraction, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = map(int, numbers)
    micros = int(fraction[:6].ljust(6, "0")) if fraction else 0
    try:
        # The constructor checks the fields of date and time: 24:00, 30 February and second 60 are
        # refused.
        read = datetime(year, month, day, hour, minute, second, micros, UTC)
        if sign is None:
            return read
        if int(hours) > 23 or int(minutes) > 59:
            raise ValueError(EXPECTED)
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return read - offset if sign == "+" else read + offset
    except (ValueError, OverflowError):
        raise ValueError(EXPECTED) from None
