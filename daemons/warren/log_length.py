"""How long a line of the log may be: an exception may hold megabytes of text, and its traceback holds them a second time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

#: Characters of one line; more than any line of Warren's own has, and what tools read at once.
LONGEST = 65_536
#: Characters of each text that are kept of a line that is longer, tried in this order.
_KEPT = (8_000, 500, 50)
#: Items of each list or object that are kept at the last try.
_ITEMS = 50


def bounded(fields: Mapping[str, object], dump: Callable[[object], str]) -> str:
    """Return the text that `dump` makes of the fields, with long texts cut in the middle where it is too long for a line."""
    text = dump(fields)
    if len(text) <= LONGEST:
        return text
    for kept in _KEPT:
        text = dump(_cut(fields, kept, _ITEMS if kept == _KEPT[-1] else len(text)))
        if len(text) <= LONGEST:
            return text
    return dump({name: _cut(value, _KEPT[-1], 0) for name, value in list(fields.items())[:_ITEMS]})


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


def _cut(value: object, kept: int, items: int) -> object:
    if isinstance(value, str):
        return cut(value, kept)
    if isinstance(value, Mapping):
        return {cut(str(key), kept): _cut(item, kept, items) for key, item in list(value.items())[:items]}
    if isinstance(value, list | tuple):
        return [_cut(item, kept, items) for item in value[:items]]
    return value
