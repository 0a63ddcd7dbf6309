"""Trees of directories that are too deep for recursion.

A task can make one in a moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.wait import run_to_end

#: Levels: more than Python recurses, and more than a process has files.
DEEP = 1500


def deep(path: Path) -> None:
    """Make a directory that holds one, and so on."""
    here = os.open(".", os.O_DIRECTORY)
    path.mkdir()
    try:
        os.chdir(path)
        for _ in range(DEEP):
            os.mkdir("x")
            os.chdir("x")
    finally:
        os.fchdir(here)
        os.close(here)


@contextmanager
def removed(directory: Path) -> Iterator[None]:
    """Remove the directory at the end, whatever has become of the test: pytest cannot."""
    try:
        yield
    finally:
        run_to_end(["rm", "-rf", str(directory)], check=True)
