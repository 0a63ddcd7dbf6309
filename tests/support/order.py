"""Which files of tests a run begins with. Of several processes none should begin with what takes minutes when the others end."""

from __future__ import annotations

from pathlib import PurePath

#: Files that take more than half a minute, and their seconds, about. What is not here comes after them.
LONG: dict[str, int] = {}


def seconds(file: PurePath) -> int:
    """How long a file takes, about; 0 for one that does not take long."""
    return LONG.get("/".join(file.parts[-2:]), 0)
