"""What other users' processes print, shown as text."""

from __future__ import annotations

import pytest

from warren.system.plain_text import Plain, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "a table\tof\nÜmlauts ✓ \x1b[1;31mred\x1b[0m",
            "a table\tof\nÜmlauts ✓ \x1b[1;31mred\x1b[0m",
        ),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x1b[2J\x1b[?25l\x1b7", "\\x1b[2J\\x1b[?25l\\x1b7"),
        ("over\rwritten\b\x7f", "over\\rwritten\\x08\\x7f"),
        ("\x9b2J\x9d", "\\x9b2J\\x9d"),
        ("\u202edlrow\u2066", "\\u202edlrow\\u2066"),
    ],
)
def test_nothing_reaches_the_terminal_but_text_and_colours(text: str, shown: str) -> None:
    """Controls are shown as what they are; letters, line ends and colours stay."""
    assert plain(text) == shown


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_blocks_may_be_cut_anywhere(size: int) -> None:
    """A letter or a colour in two blocks is shown as in one.

    Bytes that are no UTF-8 are shown as numbers.
    """
    data = "ä\x1b[38;5;1mrot\x1b[0m\x1b[2J€\x1b".encode() + b"\x9b2J\xff"
    stream = Plain()
    shown = (
        b"".join(stream.of(data[at : at + size]) for at in range(0, len(data), size))
        + stream.rest()
    )
    assert shown.decode() == "ä\x1b[38;5;1mrot\x1b[0m\\x1b[2J€\\x1b\\x9b2J\\xff"
