"""Output of other users' processes as plain text, which steers no terminal.

No part of it moves the cursor or changes the state of a terminal.
"""

from __future__ import annotations

import codecs
import re

#: The ASCII characters that are shown unchanged.
_FINE = bytes(range(0x20, 0x7F)) + b"\n\t"
#: Either a colour (SGR), which Warren's own tables write, or a character that is not shown:
#: controls, among them C1, which some terminals obey like ESC, and the marks that change the
#: direction of the text.
_SPECIAL = re.compile(
    "(\x1b\\[[0-9;:]{0,40}m)"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
#: The beginning of a colour that may continue in the next block.
_CUT = re.compile("\x1b(\\[[0-9;:]{0,40})?$")


class Plain:
    """One stream of text in UTF-8, processed block by block."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._left = ""

    def of(self, data: bytes) -> bytes:
        """Return the next block as text that can be shown."""
        if not self._left and not data.translate(None, _FINE) and not self._decoder.getstate()[0]:
            return data
        text = self._left + self._decoder.decode(data)
        cut = _CUT.search(text)
        text, self._left = (text[: cut.start()], cut.group()) if cut else (text, "")
        return plain(text).encode()

    def rest(self) -> bytes:
        """Return the text that was held back at the end of the last block."""
        text, self._left = self._left + self._decoder.decode(b"", final=True), ""
        return plain(text).encode()


def plain(text: str) -> str:
    """Return the text with each unsafe character as its escape sequence."""
    return _SPECIAL.sub(
        lambda found: found.group(1) or found.group().encode("unicode_escape").decode(), text
    )
