"""Shapes: where what was read is of another one than what is needed."""

from __future__ import annotations

from typing import Any

import pytest

from warren.status.validation import NUMBER, misfit


@pytest.mark.parametrize(
    ("value", "shape", "problem"),
    [
        (7, NUMBER, ""),
        (True, NUMBER, "expected a number, found true or false"),
        (None, (int, None), ""),
        ("7", (*NUMBER, None), "expected a number or null, found text"),
        ("7", (int, None), "expected a whole number or null, found text"),
        (3, {0, 1, 2}, "expected one of 0, 1, 2, found a whole number"),
        ([1, "a"], [int], "1: expected a whole number, found text"),
        ({"a": {"b": []}}, {str: {"b": int}}, "a.b: expected a whole number, found a list"),
        ({}, {"a": int, "b?": int}, "a: expected a whole number, found nothing"),
        (
            {"a": 1, "b": None, "c": 1},
            {"a": int, "b?": int},
            "b: expected a whole number, found null",
        ),
        ({"error": "x"}, ({"error": str}, {"free": int}), ""),
        ({}, ({"error": str}, {"free": int}), "free: expected a whole number, found nothing"),
        ([], {"a": int}, "expected an object, found a list"),
    ],
)
def test_the_first_place_that_does_not_fit(value: object, shape: Any, problem: str) -> None:
    """What was expected there and what was found is said in the one grammar of all messages."""
    assert misfit(value, shape) == problem
