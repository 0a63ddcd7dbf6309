"""Everything that may stand under a file's name without being the file.

A task may plant it in a directory of the suite.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path


def fifo(path: Path) -> None:
    """Puts a fifo there: whoever opens it as a file waits for a writer."""
    os.mkfifo(path)


def link(path: Path) -> None:
    """Put a link there, to a file that is as good as the expected one.

    The link itself is the fault.
    """
    target = path.with_name(f"{path.name}.target")
    target.write_bytes(b"")
    path.symlink_to(target)


def endless(path: Path) -> None:
    """Puts a link to a device without an end there."""
    path.symlink_to("/dev/zero")


def directory(path: Path) -> None:
    """Puts a directory there."""
    path.mkdir()


def bound(path: Path) -> None:
    """Put a socket there.

    Its name may be too long to bind to, so it is bound from within its directory.
    """
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(".", os.O_DIRECTORY)
        os.chdir(path.parent)
        try:
            server.bind(path.name)
        finally:
            os.fchdir(here)
            os.close(here)


def device(path: Path) -> None:
    """Puts the device of zeros there, which has no end; needs root."""
    os.mknod(path, 0o20666, os.makedev(1, 5))


def huge(path: Path) -> None:
    """Puts a file of a terabyte there that takes no room."""
    with open(path, "wb") as file:
        file.truncate(1 << 40)


#: By the word that a reader must say of it.
PLANTS: dict[str, Callable[[Path], None]] = {
    "fifo": fifo,
    "symbolic link": link,
    "directory": directory,
    "socket": bound,
    "larger than": huge,
}
if os.geteuid() == 0:
    PLANTS["device"] = device
