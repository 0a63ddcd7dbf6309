"""The begin and the end of a value in a text: in quotes of any depth, or up to a blank. Pure."""

from __future__ import annotations

import re
import sys

#: A quote ends a value only when the text after it cannot be part of a value: O'Brien is one value.
CLOSING = r"[\"'](?=[\s,;:)\]}>\\]|$)"
PLAIN_END = re.compile(rf"\s|,(?=\s|$)|{CLOSING}")
_OPENS = re.compile(r"[bBuUrRfF]{0,2}(\\*+[\"'])")
_INSIDE = {
    "'": re.compile(r"[^'\\]*(?:\\.[^'\\]*)*", re.DOTALL),
    '"': re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL),
}


def end_of(pattern: re.Pattern[str], text: str, at: int, most: int = sys.maxsize) -> int:
    """Return the next position of the pattern, otherwise the end of the text, or `most`."""
    found = pattern.search(text, at, most)
    return found.start() if found else min(len(text), most)


def quoted_at(text: str, at: int) -> tuple[int, int] | None:
    """Return the span inside the quoted text that begins here.

    Its end may be missing, as in a text that was cut off.
    """
    opening = _OPENS.match(text, at)
    if opening is None:
        return None
    quote, start = opening[1], opening.end()
    if len(quote) == 1:
        inside = _INSIDE[quote].match(text, start)
        return start, min(inside.end() if inside else start, len(text))
    end = text.find(quote, start)
    while end > 0 and text[end - 1] == "\\":  # this quote is a level deeper
        end = text.find(quote, end + 1)
    return start, end if end >= 0 else len(text)
