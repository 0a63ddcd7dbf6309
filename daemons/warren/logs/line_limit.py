"""How long a line of the log may be: an exception may hold megabytes of text, and its traceback holds them a second time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

#: Characters of one line; more than any line of Warren's own has, and what tools read at once.
LONGEST = 65_536
#: Characters of each text that are kept of a line that is longer, tried in this order.
_KEPT = (8_000, 500, 50)
#: Items of each list or object that are kept at the last try.
_ITEMS = 50
#: The field in which a line that was cut says how many characters it would have had.
CUT_FROM = "cut_from"

#: Made once: a task may replace what the module json has.
_decode = json.JSONDecoder().decode


def bounded(fields: Mapping[str, object], dump: Callable[[object], str]) -> str:
    """Return the text that `dump` makes of the fields, as JSON; long texts cut in the middle where it is too long.

    Raises what `dump` raises.
    """
    text = dump(fields)
    if len(text) <= LONGEST:
        return text
    # Read back, it is made of texts, numbers and lists: an object that an author logs, such as an exception, is its text by now.
    fields, said = _decode(text), {CUT_FROM: len(text)}
    for kept in _KEPT:
        text = dump({**_cut_items(fields, kept, _ITEMS if kept == _KEPT[-1] else len(text)), **said})
        if len(text) <= LONGEST:
            return text
    # Lists of lists of lists, or numbers of thousands of digits.
    first = list(fields.items())[:_ITEMS]
    return dump({**{cut(str(name), _KEPT[-1]): _brief(value) for name, value in first}, **said})


def cut(text: str, kept: int) -> str:
    """Return the beginning and the end of a text, and how much was left out.

    No word is cut in two that may be an address: half of a password would not be seen as one.
    """
    if len(text) <= kept:
        return text
    head, tail = text[: kept // 2], text[-(kept // 2) :]
    if "://" in head.rpartition(" ")[2]:
        head = head.rpartition(" ")[0]
    tail = tail.partition(" ")[2]
    return f"{head} [... {len(text) - len(head) - len(tail)} characters left out ...] {tail}".strip()


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
    found = {cut(str(key), kept): _cut(item, kept, items) for key, item in list(value.items())[:items]}
    return found | ({"[...]": f"{len(value) - items} items left out"} if len(value) > items else {})
