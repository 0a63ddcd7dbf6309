"""Patterns compared with each other."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.config.patterns import covers, overlap

PATTERNS = st.text(alphabet="ab*?[]!", max_size=6)
TEXTS = ["".join(letters) for length in range(6) for letters in product("ab!", repeat=length)]


@given(PATTERNS, PATTERNS)
def test_overlap_sees_every_common_task(one: str, other: str) -> None:
    """Two patterns that some text matches both overlap."""
    if any(fnmatchcase(text, one) and fnmatchcase(text, other) for text in TEXTS):
        assert overlap(one, other)
        assert overlap(other, one)


@given(PATTERNS, PATTERNS)
def test_covers_is_never_wrong(wide: str, narrow: str) -> None:
    """A pattern said to cover another matches every text that the other matches."""
    if covers(wide, narrow):
        assert all(fnmatchcase(text, wide) for text in TEXTS if fnmatchcase(text, narrow))


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ("shop.*", "shop.a", True),
        ("shop.*", "mail.*", False),
        ("*.send", "mail.*", True),
        ("a?c", "a[bx]c", True),
        ("a[!b]c", "abc", False),
        ("", "*", True),
        ("a", "", False),
        ("[", "[", True),
        ("*" * 255, "?" * 255, True),
    ],
)
def test_overlap(one: str, other: str, common: bool) -> None:
    """Patterns overlap exactly when some task could match both."""
    assert overlap(one, other) is common


@pytest.mark.parametrize(
    ("wide", "narrow", "all_of_it"),
    [
        ("shop.*", "shop.crawl.*", True),
        ("shop.crawl.*", "shop.*", False),
        ("shop.?", "shop.*", False),
        ("shop.?", "shop.[ab]", True),
        ("shop.*", "shop.*", True),
        ("shop.a", "shop.a", True),
        ("**", "", True),
        ("a", "", False),
    ],
)
def test_covers(wide: str, narrow: str, all_of_it: bool) -> None:
    """A pattern covers another when it matches all that the other matches."""
    assert covers(wide, narrow) is all_of_it
