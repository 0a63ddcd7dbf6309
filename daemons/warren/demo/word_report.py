"""The words of the collected documents, which the report counts."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"[^\W\d_]{3,}")

HEADER = ("rank", "word", "times")


def count(text: str, words: Counter[str]) -> None:
    """Add the words of a text, of three letters or more, to `words` in lower case."""
    words.update(found.lower() for found in _WORD.findall(text))


def ranked(words: Counter[str], rows: int) -> Iterator[tuple[int, str, int]]:
    """Yield the `rows` most frequent words: rank from 1, word, times.

    Words with equal counts are in alphabetical order.
    """
    order = sorted(words.items(), key=lambda entry: (-entry[1], entry[0]))
    for rank, (word, times) in enumerate(order[:rows], start=1):
        yield rank, word, times


def csv_lines(rows: Iterable[tuple[int, str, int]]) -> Iterator[bytes]:
    """Yield the header, then the rows, as lines of CSV (RFC 4180) in UTF-8."""
    for row in (HEADER, *rows):
        line = io.StringIO(newline="")
        csv.writer(line).writerow(row)
        yield line.getvalue().encode()
