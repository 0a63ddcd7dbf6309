"""The length of a log line.

An exception may hold megabytes of text, and its traceback holds that text again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

#: The most characters of a line. No line of Warren's own is so long, and tools read so much at
#: once.
LONGEST = 65_536
#: The characters that are kept of each text of a longer line. The numbers are tried in this order.
_KEPT = (8_000, 500, 50)
#: The items that are kept of each list or object at the last try.
_ITEMS = 50
#: The field that says how many characters a line had before it was cut.
CUT_FROM = "cut_from"

#: Bound once: a task may replace functions of the module json.
_decode = json.JSONDecoder().decode


def bounded(fields: Mapping[str, object], dump: Callable[[object], str]) -> str:
    """Return the fields as JSON text; a text that is too long is cut in the middle.

    dump: makes the JSON text. Raises what `dump` raises.
    """
    text = dump(fields)
    if len(text) <= LONGEST:
        return text
    # The decoded text holds only texts, numbers, lists and objects of JSON. An object that an
    # author logs, such as an exception, has become its text.
    fields, mark = _decode(text), {CUT_FROM: len(text)}
    for kept in _KEPT:
        text = dump(
            {**_cut_items(fields, kept, _ITEMS if kept == _KEPT[-1] else len(text)), **mark}
        )
        if len(text) <= LONGEST:
            return text
    # Only lists of lists of lists, and numbers of thousands of digits, are still too long here.
    first = list(fields.items())[:_ITEMS]
    return dump({**{cut(str(name), _KEPT[-1]): _brief(value) for name, value in first}, **mark})


def cut(text: str, kept: int) -> str:
    """Return the beginning and the end of a text, with a note of how much was left out.

    A word that may be a URL is not cut in two: half of a password would not be recognized.
    """
    if len(text) <= kept:
        return text
    head, tail = text[: kept // 2], text[-(kept // 2) :]
    if "://" in head.rpartition(" ")[2]:
        head = head.rpartition(" ")[0]
    tail = tail.partition(" ")[2]
    return (
        f"{head} [... {len(text) - len(head) - len(tail)} characters left out ...] {tail}".strip()
    )


def _brief(value: object) -> object:
    if isinstance(value, Mapping | list | tuple):
        return f"[... {len(value)} items left out ...]"
    return cut(str(value), _KEPT[-1]) if isinstance(value, str | int) else value


def _cut(value: object, kept: int, items: int) -> object:
    if isinstance(value, str):
        return cut(value, kept)
    if isinstance(value, Mapping):
        return _cut_items(value, kept, items)
    if isinstance(value, list | tuple):
        rest = [f"[... {len(value) - items} items left out ...]"] if len(value) > items else []
        return [*(_cut(item, kept, items) for item in value[:items]), *rest]
    return value


def _cut_items(value: Mapping[str, object], kept: int, items: int) -> dict[str, object]:
    found = {
        cut(str(key), kept): _cut(item, kept, items) for key, item in list(value.items())[:items]
    }
    return found | ({"[...]": f"{len(value) - items} items left out"} if len(value) > items else {})
