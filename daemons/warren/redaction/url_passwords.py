"""The passwords of URLs in any text.

People forget to percent-encode them: an '@', '/', '?', ';' or quote may be part of a password.
"""

from __future__ import annotations

import re
from bisect import bisect_left

MASK = "***"

_SLASHES = re.compile(r":(?:\\?/){2}")  # JSON may escape a slash
_SCHEME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-")
_LONGEST_SCHEME = 30
_BLANK = re.compile(r"\s")
_AUTHORITY_END = re.compile(r"[/?#\s]")
_PORT = re.compile(r"[^\s/@]*?:[0-9]{1,5}(?=[/?#;,\s\"'\\]|$)")
_PLAIN_USER = re.compile(r"[\w.~+$-]*")
# A URL that begins after one of these characters does not continue the URL before it.
_BEFORE = frozenset(";,|'\"()<>[]{}=`")
_WEB = ("http", "https", "ws", "wss", "ftp")
# The paths of these URLs hold no '@', so the last '@' ends the password.
_BROKER = re.compile(
    r"(?:amqps?|pyamqp|rediss?|sentinel|sqs|postgres(?:ql)?|mysql|mariadb|mongodb|mssql|oracle"
    r"|memcached?)(?:\+.*)?",
    re.I,
)
# With these schemes a lone word before the '@' is a user's name; with others it is a token or, with
# Redis, a password.
_LONE_USER = re.compile(
    r"(?:amqps?|pyamqp|s?ftps?|ssh|git|svn|rsync|imaps?|smtps?|ldaps?|xmpp|sip|sips)(?:\+ssh)?"
    r"|git\+ssh|svn\+ssh",
    re.I,
)
_ENCODED = re.compile(r"(%3a%2f%2f)(?:(?!%2f|%3f|%23)[^\s&;\"'])*?%40", re.IGNORECASE)
_PATH = re.compile(r"[/?#\s\"'`<>;,)\]}]")


def redact_urls(text: str) -> str:
    """Return the text without the user information of its URLs.

    A user's name that is not a secret stays.
    """
    if "%2f%2f" in text or "%2F%2F" in text:
        text = _ENCODED.sub(rf"\1{MASK}%40", text)
    starts = [(found.start(), found.end()) for found in _SLASHES.finditer(text)]
    if not starts:
        return text
    blanks = [found.start() for found in _BLANK.finditer(text)]
    fresh = [begin for begin, _ in starts if _is_fresh(text, begin)]
    parts: list[str] = []
    done = reach = 0  # the end of the text in `parts`, and the end of the range of the last '@'
    last = -1
    for begin, start in starts:
        if start < done:
            continue  # this URL was part of a password
        if start >= reach:
            reach = min(_next(blanks, start, len(text)), _next(fresh, start, len(text)))
            last = text.rfind("@", start, reach)
        span, shown = _user_information(
            text, _scheme(text, begin), start, last if last >= start else -1, reach
        )
        if span > start:
            parts += [text[done:start], shown]
            done = span
    return "".join(parts) + text[done:]


def _next(positions: list[int], at: int, end: int) -> int:
    number = bisect_left(positions, at)
    return positions[number] if number < len(positions) else end


def _scheme(text: str, begin: int) -> str:
    at = begin
    while at > 0 and begin - at < _LONGEST_SCHEME and text[at - 1] in _SCHEME_CHARACTERS:
        at -= 1
    return text[at:begin].lower()


def _is_fresh(text: str, begin: int) -> bool:
    """Return whether the URL with this '://' is a new one: after a separator, or at the start."""
    before = begin - len(_scheme(text, begin)) - 1
    return before < 0 or text[before] in _BEFORE or text[before].isspace()


def _user_information(text: str, scheme: str, start: int, last: int, reach: int) -> tuple[int, str]:
    """Return the end of the user information that begins at `start`, and its replacement.

    The end is `start` where there is no user information.
    """
    if last < 0:
        return _without_host(text, scheme, start, reach)
    found = _AUTHORITY_END.search(text, start, reach)
    authority = found.start() if found else reach
    is_broker = _BROKER.fullmatch(scheme) is not None
    if not is_broker:
        within = text.rfind("@", start, authority)
        colon = text.find(":", start, authority)
        # A password may hold characters that end the host elsewhere. A port, or a text without a
        # colon, does not begin a password.
        unencoded = colon >= 0 and not _PORT.match(text, start, reach) and text[start] != "["
        last = max(within, last if unencoded else -1)
        if last < 0:
            return start, ""
    colon = text.find(":", start, last)
    if scheme in _WEB or scheme.endswith(("+http", "+https")):
        return last, MASK  # the token may be in either part
    if colon < 0:
        lone = text[start:last]
        known = _LONE_USER.fullmatch(scheme) and _PLAIN_USER.fullmatch(lone)
        return (start, "") if known or not lone else (last, MASK)
    user = text[start:colon] if _PLAIN_USER.fullmatch(text, start, colon) else MASK
    return (last, f"{user}:{MASK}") if last > colon + 1 else (start, "")


def _without_host(text: str, scheme: str, start: int, reach: int) -> tuple[int, str]:
    """Return the end and the replacement of the user information of a broker's URL without a host.

    Such a URL has no '@'. Text after the colon that is not a port is a password.
    """
    if not _BROKER.fullmatch(scheme) or text.startswith("[", start):
        return start, ""
    found = _PATH.search(text, start, reach)
    end = found.start() if found else reach
    colon = text.find(":", start, end)
    if colon < 0 or colon + 1 == end or text[colon + 1 : end].isdigit():
        return start, ""
    return end, f"{text[start:colon]}:{MASK}"
