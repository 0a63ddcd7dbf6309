"""Whether the content of a file has the shape that its reader needs, and where it differs. Pure.

These checks do not use pydantic, because monitors call `warren health` each cycle. pydantic checks
the settings; its import alone takes more CPU time (144 ms) than the whole of `warren health`.

A shape is one of these:

- a type, or None for null;
- a set of numbers or texts, one of which the value must be;
- `[shape]` for a list;
- `{str: shape}` for an object with any keys;
- `{"name": shape}` for an object with at least these keys; a key ending in `?` may be missing;
- a tuple of shapes, one of which the value must have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Shape = Any
NUMBER = (int, float)
_NAMES: dict[Any, str] = {
    None: "null",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}
_MISSING = object()


def misfit(value: object, shape: Shape, where: str = "") -> str:
    """Return the first difference: its path, the expected shape, the found value.

    Returns an empty text when the value has the shape.
    """
    if isinstance(shape, tuple):
        problems = [misfit(value, each, where) for each in shape]
        if "" in problems:
            return ""
        if any(isinstance(each, dict) for each in shape):
            return problems[-1]
    elif _is(value, shape):
        inner = (
            misfit(part, its, f"{where}.{name}" if where else name)
            for name, part, its in _parts(value, shape)
        )
        return next(filter(None, inner), "")
    return f"{where + ': ' if where else ''}expected {_expected(shape)}, found {_found(value)}"


def _is(value: object, shape: Shape) -> bool:
    if isinstance(shape, set):
        return isinstance(value, int | str) and not isinstance(value, bool) and value in shape
    kind = type(shape) if shape is None or isinstance(shape, dict | list) else shape
    # Python counts true as a number.
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _parts(value: Any, shape: Shape) -> Iterator[tuple[str, object, Shape]]:
    """Return each part of the value with its name and its shape."""
    if isinstance(shape, list):
        yield from ((str(number), part, shape[0]) for number, part in enumerate(value))
    elif isinstance(shape, dict) and str in shape:
        yield from ((name, part, shape[str]) for name, part in value.items())
    elif isinstance(shape, dict):
        for key, its in shape.items():
            name = key.removesuffix("?")
            if name in value or name == key:
                yield name, value.get(name, _MISSING), its


def _expected(shape: Shape) -> str:
    if isinstance(shape, tuple):
        return " or ".join(
            _expected(each) for each in shape if each is not int or float not in shape
        )
    if isinstance(shape, set):
        return f"one of {', '.join(map(str, sorted(shape)))}"
    return _NAMES[type(shape) if isinstance(shape, dict | list) else shape]


def _found(value: object) -> str:
    if value is _MISSING:
        return "nothing"
    return _NAMES[None if value is None else type(value)]
