"""The pause that a response asks for by its status and its `Retry-After`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: The longest accepted pause in seconds: a longer pause is taken for a mistake of the provider.
LONGEST_PAUSE = 7 * 86400.0
#: The statuses of a provider that refuses a call: limit or load (RFC 6585, RFC 9110).
_REFUSALS = (429, 503)


def pause_after(status: int, headers: Mapping[str, str], now: datetime) -> float:
    """Return for how many seconds this response closes the quota; 0: it stays open.

    Only a 429 or 503 that says when to try again closes it.
    """
    return (retry_after(headers, now) or 0.0) if status in _REFUSALS else 0.0


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds to wait by `Retry-After` (RFC 9110, 10.2.3).

    The header holds a number of seconds or a date. The result is 0 to LONGEST_PAUSE, or None when
    the header is absent or malformed.
    """
    text = next(
        (value for name, value in headers.items() if name.lower() == "retry-after"), ""
    ).strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), LONGEST_PAUSE)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError for a number that no date can hold
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max(0.0, (when - now).total_seconds()), LONGEST_PAUSE)
