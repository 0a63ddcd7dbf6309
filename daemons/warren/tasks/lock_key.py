"""The key of a lock: made of the arguments of a call, the same in each process. Pure."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from string import Formatter
from typing import Any

from celery import Task

#: How an author names the key: a text with the names of parameters in braces, a function of the
#: call's arguments, or None for all arguments.
Rule = str | Callable[..., object] | None
#: The most characters of a key that people see in messages and holders.
_LONGEST_TEXT = 200


@dataclass(frozen=True)
class Key:
    """One key. text: for people. digest: the name under which a store has the key."""

    text: str
    digest: str


class KeyOfCall:
    """The keys of the calls of one function.

    own: whether the keys are of this function alone. Otherwise two functions with the same key
    share it.
    """

    def __init__(self, rule: Rule, function: Callable[..., Any], *, own: bool) -> None:
        """Raise ValueError when the text of the rule names no parameter of the function."""
        self._rule, self._signature = rule, inspect.signature(function)
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._own = own or rule is None
        self._fields = _fields(rule) if isinstance(rule, str) else []
        parameters = self._signature.parameters
        if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            for field in self._fields:
                if field not in parameters:
                    known = ", ".join(parameters) or "none"
                    raise ValueError(
                        f"{self._name}: key {rule!r}: expected a parameter ({known}), found "
                        f"{field or 'empty braces'}"
                    )

    def __call__(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Key:
        """Return the key of this call. Raises TypeError when a part of the key is not JSON."""
        if callable(self._rule):
            bare = arguments[1:] if arguments and isinstance(arguments[0], Task) else arguments
            value = self._rule(*bare, **keywords)
            return self._made([value], str(value))
        found = self._bound(arguments, keywords)
        if self._rule is None:
            named = {k: v for k, v in found.items() if not isinstance(v, Task)}
            return self._made([named], f"{self._name}({_shown(named)})")
        values = [found.get(field) for field in self._fields]
        shown = {field: found.get(field) for field in self._fields}
        return self._made([self._rule, *values], self._rule.format_map(shown))

    def _bound(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
        bound = self._signature.bind(*arguments, **keywords)
        bound.apply_defaults()
        found = dict(bound.arguments)
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                found |= found.pop(name)
        return found

    def _made(self, parts: list[Any], text: str) -> Key:
        return _key([self._name, *parts] if self._own else parts, text, self._name)


def literal(text: str) -> Key:
    """Return the key of a text as it is. Braces in it mean nothing."""
    return _key([text], text, "unique")


def of_run(function: Callable[..., Any], task_id: str) -> Key:
    """Return the key of one task's run of a function, for a message that is delivered twice."""
    name = f"{function.__module__}.{function.__qualname__}"
    return _key([name, "task", task_id], f"task {task_id}", name)


def _key(parts: list[Any], text: str, name: str) -> Key:
    try:
        canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        # An object's text has its address: each call would have a key of its own, and lock nothing.
        raise TypeError(
            f"{name}: expected a key of texts, numbers, lists and objects of JSON, found another "
            f"value ({error}); give a function that returns such a key"
        ) from None
    digest = hashlib.sha256(canonical.encode("ascii")).hexdigest()[:32]
    return Key(text[:_LONGEST_TEXT], digest)


def _fields(rule: str) -> list[str]:
    """Return the names in braces. Raises ValueError for more than a name."""
    found = []
    for _, field, form, conversion in Formatter().parse(rule):
        if field is not None:
            if form or conversion or not (field.isidentifier() or not field):
                raise ValueError(
                    f"key {rule!r}: expected a parameter's name alone in braces, found {field!r}; "
                    "for more, give a function as key"
                )
            found.append(field)
    return found


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())[:_LONGEST_TEXT]
