"""The key of a lock: the same for the same arguments, and never an object's address."""

from __future__ import annotations

import re
from typing import Any

import pytest
from celery import Celery, Task
from hypothesis import given
from hypothesis import strategies as st

from warren.tasks.lock_key import Key, KeyOfCall, Rule, literal, of_run


def fetch(url: str, size: int = 1, *more: object, **others: object) -> None:
    """A function whose calls have keys."""


def plain(url: str, size: int = 1) -> None:
    """A function without parameters of any name."""


def key(rule: Rule, *arguments: Any, **keywords: Any) -> Key:
    """Return the key of a call of `fetch`."""
    return KeyOfCall(rule, fetch, own=False)(arguments, keywords)


def test_one_call_has_one_key_however_it_is_written() -> None:
    """Positions, keywords and defaults make no difference."""
    assert key("p:{url}:{size}", "a") == key("p:{url}:{size}", url="a", size=1)
    assert key(None, "a") == key(None, size=1, url="a")
    assert key("p:{url}", "a").text == "p:a"
    assert key(None, {"b": 1, "a": 2}).digest == key(None, {"a": 2, "b": 1}).digest


def test_other_values_have_another_key() -> None:
    """Texts that run together are not confused; 7 and "7" are two keys."""
    rule = "{url}:{size}"
    made = [("a:b", "c"), ("a", "b:c"), ("a", 7), ("a", "7"), ("a", None), ("a", "None"), ("a", [])]
    assert len({key(rule, *arguments).digest for arguments in made}) == len(made)
    assert key(None, "a").digest != key("{url}", "a").digest


@given(st.lists(st.text(max_size=5), min_size=2, max_size=2), st.lists(st.text(max_size=5)))
def test_keys_differ_as_values_do(first: list[str], second: list[str]) -> None:
    """Two calls have the same key exactly if their values are the same."""
    one, other = key("{url}/{size}", *first[:2]), key("{url}/{size}", *[*second, "", ""][:2])
    assert (one.digest == other.digest) == (first[:2] == [*second, "", ""][:2])


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), b"x", {"a": object()}])
def test_what_is_no_json_is_refused(value: object) -> None:
    """A key of an object's address would lock nothing, so it is an error, also in all arguments."""
    for rule in ("p:{url}", None, lambda url: url):
        with pytest.raises(TypeError, match="expected a key of texts, numbers"):
            key(rule, value)


def test_a_function_gives_the_key_without_the_task() -> None:
    """It gets the arguments of the call; a bound task is no part of any key."""
    app = Celery("test", set_as_current=False)

    def bound(self: Task[..., Any], url: str) -> None: ...

    task = app.task(bind=True, shared=False)(bound)
    for rule in (lambda url: url, None, "{url}"):
        with_task = KeyOfCall(rule, bound, own=False)((task, "a"), {})
        assert with_task == KeyOfCall(rule, bound, own=False)((app.task()(plain), "a"), {})


def test_a_wrong_rule_is_an_error_where_it_is_written() -> None:
    """Not at the first call."""
    for rule, said in (
        ("p:{urll}", "expected a parameter (url, size), found urll"),
        ("p:{}", "found empty braces"),
        ("p:{url.host}", "expected a parameter's name alone in braces, found 'url.host'"),
        ("p:{size:04}", "expected a parameter's name alone"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            KeyOfCall(rule, plain, own=False)


def test_whose_keys_they_are() -> None:
    """A key of `unique` is shared by functions, a key of `once` and a key of all arguments is not.

    A run's key is its task's and function's.
    """
    same = [KeyOfCall("k:{url}", each, own=False)(("a",), {}) for each in (fetch, plain)]
    assert same[0] == same[1]
    for rule, own in (("k:{url}", True), (None, False)):
        one, other = (KeyOfCall(rule, each, own=own)(("a",), {}) for each in (fetch, plain))
        assert one.digest != other.digest
    assert len({of_run(fetch, "1"), of_run(fetch, "2"), of_run(plain, "1")}) == 3
    assert literal("{url}").text == "{url}"


def test_a_long_key_is_cut_for_people_only() -> None:
    """Keys that differ behind the cut stay different."""
    assert len(key("{url}", "x" * 5000).text) == 200
    assert key("{url}", "x" * 5000).digest != key("{url}", "x" * 5001).digest
