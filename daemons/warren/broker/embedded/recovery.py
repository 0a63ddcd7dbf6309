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
    """Requeue the messages taken by processes that are dead or of another boot; return how many.

    Also removes what dead publishers left unfinished, and the temporary queues of dead processes.
    `directory` is the embedded broker's; nothing happens while it does not exist. Any number of
    processes may do this at once, and be killed while they do.

    Raises OSError, and then does nothing, where a directory of the broker is not this user's own,
    or a link.
    """
    if not (directory / "temporary").is_dir():  # made last
        return 0
    _refuse_others(directory)
    # An owner that is dead here is dead for good, and no other process ever puts a message into its
    # directory: a message that a live process has just taken is in that process's directory, which
    # is not looked at.
    dead = [name for name in os.listdir(directory / "unacked") if not owner_alive(name)]
    restored = sum(_restore(directory, owner) for owner in dead)
    _remove_unfinished(directory / "incoming")
    # After the messages: a message that a dead process had from its own temporary queue is deleted
    # with it.
    Topology(directory).delete_abandoned()
    return restored


def _refuse_others(directory: Path) -> None:
    """Raise PermissionError unless the broker's directories are directories of this user.

    Their owner decides what a rename below them moves, and where to. A process with more rights
    than the owner must not act there: for example root, where a task has put a link to /etc in the
    place of a queue.
    """
    for name in ("", "unacked", "queues", "rejected", "incoming", "temporary", "later"):
        try:
            found = os.lstat(directory / name)
        except FileNotFoundError:
            if name == "later":
                continue  # from before this directory existed: made at the next connection
            raise
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            what = f"expected a directory of user {os.geteuid()}, found one of user {found.st_uid}"
            what += ", or a link; nothing is restored"
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
            continue  # Warren makes no links: what a link leads to is not the broker's
        # Each message is requeued by one rename, which succeeds for one process only. When this
        # process is killed at any point, the rest waits for the next one.
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
        return []  # another process was faster; or it is a stray file


def _remove_empty(directory: Path) -> None:
    with suppress(OSError):  # gone, or not empty: then the next process finds it
        directory.rmdir()


def _remove_unfinished(incoming: Path) -> None:
    for path in incoming.iterdir():
        if not owner_alive(path.name.rsplit(".", 2)[0]):
            with suppress(FileNotFoundError):
                remove_tree(str(path)) if path.is_dir() and not path.is_symlink() else path.unlink()
