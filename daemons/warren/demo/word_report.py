"""What the report is about: the words of the collected documents."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"[^\W\d_]{3,}")

HEADER = ("rank", "word", "times")


def count(text: str, words: Counter[str]) -> None:
    """Adds the words of a text, three letters or longer, in lower case."""
    words.update(found.lower() for found in _WORD.findall(text))


def ranked(words: Counter[str], rows: int) -> Iterator[tuple[int, str, int]]:
    """The `rows` most frequent words: rank from 1, word, times. Equal counts stand in the order of the alphabet."""
    order = sorted(words.items(), key=lambda entry: (-entry[1], entry[0]))
    for rank, (word, times) in enumerate(order[:rows], start=1):
        yield rank, word, times


def csv_lines(rows: Iterable[tuple[int, str, int]]) -> Iterator[bytes]:
    """The rows as CSV (RFC 4180) in UTF-8, its header first."""
    for row in (HEADER, *rows):
        line = io.StringIO(newline="")
        csv.writer(line).writerow(row)
        yield line.getvalue().encode()
