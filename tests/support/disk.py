"""Small file systems, for tests that run as root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.servers import missing
from support.wait import run_to_end


@contextmanager
def mounted(folder: Path, *words: str) -> Iterator[Path]:
    """A file system of its own at `folder`; `words` are those of mount(8) before it."""
    if os.geteuid() != 0:
        missing("the right to mount (root)")
    folder.mkdir(parents=True, exist_ok=True)
    run_to_end(["mount", *words, str(folder)], check=True)
    try:
        yield folder
    finally:
        run_to_end(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, size: str, inodes: int = 0) -> Iterator[Path]:
    """One that is as small as said, and holds so many files (0: any number)."""
    with mounted(folder, "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes},mode=700", "warren-test"):
        yield folder


def fill(folder: Path) -> Path:
    """Writes a file that leaves no room."""
    path = folder / "filler"
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return path
