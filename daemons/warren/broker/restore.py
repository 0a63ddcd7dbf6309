"""What dead processes left behind in the embedded broker goes back where it belongs."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from warren.broker.disk import remove_tree
from warren.broker.messages import messages_in
from warren.broker.names import owner_alive
from warren.broker.topology import Topology


def restore_dead(folder: Path) -> int:
    """Gives back the messages taken by processes that are dead or of another boot; how many messages.

    Also removes what dead publishers left unfinished and the temporary queues of dead processes. `folder` is the embedded
    broker's; nothing happens while it does not exist. Any number of processes may do this at once, and be killed while they do.
    Raises OSError, and does nothing then, where a folder of the broker is not this user's own, or a link.
    """
    if not (folder / "temporary").is_dir():  # made last
        return 0
    _refuse_others(folder)
    # An owner found dead here is dead for good, and nobody else ever puts a message into its folder: what a live process has
    # just taken is in that process's folder and is not looked at.
    dead = [name for name in os.listdir(folder / "unacked") if not owner_alive(name)]
    restored = sum(_restore(folder, owner) for owner in dead)
    _remove_unfinished(folder / "incoming")
    # After the messages: one that a dead process had from its own temporary queue goes with that queue.
    Topology(folder).delete_abandoned()
    return restored


def _refuse_others(folder: Path) -> None:
    """Raise PermissionError unless this user owns the broker's folders, and they are folders.

    Whoever owns them decides what a rename below them moves, and where to: a process with more rights than he has must not act
    there (root, where a task has put a link to /etc in the place of a queue).
    """
    for name in ("", "unacked", "queues", "rejected", "incoming", "temporary", "later"):
        try:
            found = os.lstat(folder / name)
        except FileNotFoundError:
            if name == "later":
                continue  # older than Warren 0.1's last: made at the next connection
            raise
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            what = f"expected a folder of user {os.geteuid()}, found one of user {found.st_uid}, or a link"
            raise PermissionError(errno.EPERM, f"{what}; nothing is restored", str(folder / name))


def _restore(folder: Path, owner: str) -> int:
    taken = folder / "unacked" / owner
    restored = 0
    for queue in _entries(taken):
        if any(path.is_symlink() for path in (taken, taken / queue, folder / "queues" / queue, folder / "rejected" / queue)):
            continue  # Warren makes none: what it leads to is not the broker's
        # Each message goes back by one rename, of which one restorer's succeeds. Killed anywhere, the rest waits for the next.
        restored += sum(messages_in(folder).give_back(f"{owner}/{queue}/{name}") for name in _entries(taken / queue))
        _remove_empty(taken / queue)
    _remove_empty(taken)
    return restored


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):  # another restorer was faster; a stray file of somebody's
        return []


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # gone, or not empty: then the next restorer finds it
        folder.rmdir()


def _remove_unfinished(incoming: Path) -> None:
    for path in incoming.iterdir():
        if not owner_alive(path.name.rsplit(".", 2)[0]):
            with suppress(FileNotFoundError):
                remove_tree(str(path)) if path.is_dir() and not path.is_symlink() else path.unlink()
