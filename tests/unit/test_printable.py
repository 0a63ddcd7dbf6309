"""Text of anybody's is shown as text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.system.printable import one_line, printable, printable_lines

#: Control characters, marks of direction or without width, halves, private and unassigned ones,
#: ends of lines.
FORBIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
ANY = st.text(st.characters(codec=None))


@given(ANY)
def test_nothing_is_left_that_steers_a_terminal(text: str) -> None:
    """Whatever the text holds, no character that is shown steers a terminal.

    All of them can be encoded.
    """
    shown = printable(text)
    assert not {unicodedata.category(each) for each in shown} & set(FORBIDDEN)
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(ANY)
def test_it_is_shown_once(text: str) -> None:
    """What was made printable stays as it is.

    So a caller need not know whether it was done before.
    """
    assert printable(printable(text)) == printable(text)
    assert one_line(one_line(text)) == one_line(text)


@given(ANY)
def test_lines_stay_lines(text: str) -> None:
    """A traceback keeps its newlines and tabs, and each of its lines is as safe as any other."""
    shown = printable_lines(text)
    assert shown.count("\n") == text.count("\n")
    assert shown.replace("\n", "").replace("\t", "") == printable(
        text.replace("\n", "").replace("\t", "")
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb\u2066c\u2069", "a\\u202eb\\u2066c\\u2069"),
        ("a\u2028b\u2029c\x85d\r\n", "a\\u2028b\\u2029c\\x85d\\r\\n"),
        ("\udc80", "\\udc80"),
        ("Größe, 大きさ、\u3000\xa0naïve 🐇", "Größe, 大きさ、\u3000\xa0naïve 🐇"),
        ("[red]no markup[/]", "[red]no markup[/]"),
    ],
)
def test_an_escape_says_what_was_there(text: str, shown: str) -> None:
    """A character that is not shown is named; letters of any script, and brackets, are shown."""
    assert printable(text) == shown


def test_one_line_of_many() -> None:
    """Blanks and newlines become one blank each."""
    assert one_line("a\n  b\t\x1bc ") == "a b \\x1bc"
