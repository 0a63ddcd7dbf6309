"""What dead processes left behind in the embedded broker goes back where it belongs."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from warren.broker.messages import messages_in
from warren.broker.names import owner_alive
from warren.broker.topology import Topology


def restore_dead(folder: Path) -> int:
    """Gives back the messages taken by processes that are dead or of another boot; how many messages.

    Also removes what dead publishers left unfinished and the temporary queues of dead processes. `folder` is the embedded
    broker's; nothing happens while it does not exist. Any number of processes may do this at once, and be killed while they do.
    Raises OSError.
    """
    if not (folder / "temporary").is_dir():  # made last
        return 0
    # An owner found dead here is dead for good, and nobody else ever puts a message into its folder: what a live process has
    # just taken is in that process's folder and is not looked at.
    dead = [name for name in os.listdir(folder / "unacked") if not owner_alive(name)]
    restored = sum(_restore(folder, owner) for owner in dead)
    _remove_unfinished(folder / "incoming")
    # After the messages: one that a dead process had from its own temporary queue goes with that queue.
    Topology(folder).delete_abandoned()
    return restored


def _restore(folder: Path, owner: str) -> int:
    taken = folder / "unacked" / owner
    restored = 0
    for queue in _entries(taken):
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
                shutil.rmtree(path) if path.is_dir() else path.unlink()
