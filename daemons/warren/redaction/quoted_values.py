"""Where a value in a text begins and ends: in quotes of any depth, or up to a blank. Pure."""

from __future__ import annotations

import re
import sys

#: A quote is the end when what follows is no part of a value: O'Brien is one value.
CLOSING = r"[\"'](?=[\s,;:)\]}>\\]|$)"
PLAIN_END = re.compile(rf"\s|,(?=\s|$)|{CLOSING}")
_OPENS = re.compile(r"[bBuUrRfF]{0,2}(\\*+[\"'])")
_INSIDE = {"'": re.compile(r"[^'\\]*(?:\\.[^'\\]*)*", re.DOTALL), '"': re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)}


def end_of(pattern: re.Pattern[str], text: str, at: int, most: int = sys.maxsize) -> int:
    """Return where the pattern is found next, else the end of the text, or `most`."""
    found = pattern.search(text, at, most)
    return found.start() if found else min(len(text), most)


def quoted_at(text: str, at: int) -> tuple[int, int] | None:
    """Return the inside of the quoted text that begins here; it may lack its end, as a text that was cut off does."""
    opening = _OPENS.match(text, at)
    if opening is None:
        return None
    quote, start = opening[1], opening.end()
    if len(quote) == 1:
        inside = _INSIDE[quote].match(text, start)
        return start, min(inside.end() if inside else start, len(text))
    end = text.find(quote, start)
    while end > 0 and text[end - 1] == "\\":  # one that stands a level deeper
        end = text.find(quote, end + 1)
    return start, end if end >= 0 else len(text)
