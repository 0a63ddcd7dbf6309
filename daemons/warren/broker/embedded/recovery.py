"""The requeue of messages that dead processes left taken in the embedded broker."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from warren.broker.embedded.file_names import owner_alive
from warren.broker.embedded.filesystem import remove_tree
from warren.broker.embedded.messages import messages_in
from warren.broker.embedded.topology import Topology


def restore_dead(directory: Path) -> int:
    """Requeue the messages of processes that are dead or of another boot; return their number.

    Also removes what dead publishers left unfinished, and the temporary queues of dead processes.
    `directory` is the embedded broker's; while it does not exist, nothing happens. Any number of
    processes may call this at the same time, and may be killed in it.

    Raises OSError when a directory of the broker is a link or is not this user's own, and then
    changes nothing.
    """
    if not (directory / "temporary").is_dir():  # the directory that is made last
        return 0
    _refuse_others(directory)
    # An owner that is dead here is dead for good, and no other process ever puts a message into the
    # owner's directory. A message that a live process has just taken is in that process's
    # directory, which is not touched.
    dead = [name for name in os.listdir(directory / "unacked") if not owner_alive(name)]
    restored = sum(_restore(directory, owner) for owner in dead)
    _remove_unfinished(directory / "incoming")
    # This comes after the messages: a message of a dead process from the process's own temporary
    # queue is deleted with this queue.
    Topology(directory).delete_abandoned()
    return restored


def _refuse_others(directory: Path) -> None:
    """Raise PermissionError unless the broker's directories are directories of this user.

    The owner of a directory decides which files a rename below it moves, and where to. A process
    with more rights than the owner must not rename there. Root, for example, could be led away by a
    link to /etc that a task has put in the place of a queue.
    """
    for name in ("", "unacked", "queues", "rejected", "incoming", "temporary", "later"):
        try:
            found = os.lstat(directory / name)
        except FileNotFoundError:
            if name == "later":
                continue  # the broker is older than this directory, which the next connection makes
            raise
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            what = f"expected a directory of user {os.geteuid()}, found one of user {found.st_uid}"
            what += ", or a link; no message is restored"
            raise PermissionError(errno.EPERM, what, str(directory / name))


def _restore(directory: Path, owner: str) -> int:
    taken = directory / "unacked" / owner
    restored = 0
    for queue in _entries(taken):
        if any(
            path.is_symlink()
            for path in (
                taken,
                taken / queue,
                directory / "queues" / queue,
                directory / "rejected" / queue,
            )
        ):
            continue  # Warren makes no links, so a link leads out of the broker.
        # Each message is requeued by one rename, which succeeds in one process only. When this
        # process is killed at any point, the next process requeues what is left.
        restored += sum(
            messages_in(directory).requeue(f"{owner}/{queue}/{name}")
            for name in _entries(taken / queue)
        )
        _remove_empty(taken / queue)
    _remove_empty(taken)
    return restored


def _entries(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []  # another process was faster, or this is a stray file


def _remove_empty(directory: Path) -> None:
    with suppress(OSError):  # the directory is gone, or is not empty and left to the next process
        directory.rmdir()


def _remove_unfinished(incoming: Path) -> None:
    for path in incoming.iterdir():
        if not owner_alive(path.name.rsplit(".", 2)[0]):
            with suppress(FileNotFoundError):
                remove_tree(str(path)) if path.is_dir() and not path.is_symlink() else path.unlink()
