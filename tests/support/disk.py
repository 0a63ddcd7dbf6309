"""Small file systems, for tests that run as root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.servers import missing
from support.wait import run_to_end


@contextmanager
def mounted(directory: Path, *arguments: str) -> Iterator[Path]:
    """A file system of its own at `directory`; `arguments` are those of mount(8) before it."""
    if os.geteuid() != 0:
        missing("the right to mount (root)")
    directory.mkdir(parents=True, exist_ok=True)
    run_to_end(["mount", *arguments, str(directory)], check=True)
    try:
        yield directory
    finally:
        run_to_end(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def small_disk(directory: Path, size: str, inodes: int = 0) -> Iterator[Path]:
    """One that is as small as said, and holds so many files (0: any number)."""
    with mounted(
        directory, "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes},mode=700", "warren-test"
    ):
        yield directory


def fill(directory: Path) -> Path:
    """Writes a file that leaves no room."""
    path = directory / "filler"
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return path
