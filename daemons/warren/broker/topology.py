"""Queues, exchanges and bindings of the embedded broker, changed by one process at a time and read by all."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from warren.atomic_write import sync_folder
from warren.broker.disk import remove_tree
from warren.broker.exchanges import Damaged, Exchanges, Table
from warren.broker.names import folder_name, owner, owner_alive
from warren.broker.routing import Binding, route
from warren.regular_file import make_directory, open_or_make


class Topology:
    """What is declared below `folder`.

    A temporary queue (exclusive or auto-delete) lives as long as a process that uses it: each leaves its mark in
    temporary/QUEUE/OWNER, and the queue goes with the last of them. A durable queue goes when it is deleted.

    `meant` are the exchanges of the settings with all of their bindings: one whose table is damaged or gone, or lacks a
    binding, is declared anew from them.
    """

    def __init__(self, folder: Path, meant: Sequence[Table] = ()) -> None:
        self.exchanges = Exchanges(folder)
        self._meant = {table.name: table for table in meant}
        self._folder = folder
        self._queues, self._temporary = f"{folder}/queues", f"{folder}/temporary"

    def open(self) -> None:
        """Makes the folders. Raises OSError."""
        make_directory(self._folder)
        self.exchanges.open()
        for path in (self._queues, self._temporary, f"{self._folder}/incoming"):
            make_directory(path)

    # -- queues ------------------------------------------------------------------------------------------------------

    def declare_queue(self, queue: str, temporary: bool) -> None:
        """Makes the queue unless it is there; a temporary one gets this process's mark."""
        path, marks = self._paths(folder_name(queue))
        if not temporary and os.path.isdir(path) and not os.path.isdir(marks):
            return
        with self._changing():
            there, marked = os.path.isdir(path), os.path.isdir(marks)
            if temporary and (marked or not there):  # a durable queue stays one, whoever declares it anew
                make_directory(marks)
                # The mark first: killed in between, it is a mark without a queue, which goes with this process.
                with open(f"{marks}/{owner()}", "ab"):
                    pass
            elif marked:
                self._discard(marks)  # somebody wants it durable: it lives on
            if not there:
                make_directory(path, to=f"{self._folder}/queue-{folder_name(queue)}")
                sync_folder(self._queues)  # messages on disk in a folder that is not would be lost

    def has_queue(self, queue: str) -> bool:
        """Whether the queue is declared."""
        return os.path.isdir(f"{self._queues}/{folder_name(queue)}")

    def release_queue(self, queue: str) -> None:
        """This process uses the queue no more: a temporary one nobody uses is deleted."""
        marks = f"{self._temporary}/{folder_name(queue)}"
        if not os.path.isdir(marks):
            return
        with self._changing():
            # A forked child that closes what it inherited has no mark and must not take its parent's queue away.
            with suppress(FileNotFoundError):
                os.unlink(f"{marks}/{owner()}")
            self._delete_if_unused(folder_name(queue))

    def delete_queue(self, queue: str) -> None:
        """Deletes the queue with its bindings and the messages in it."""
        with self._changing():
            self._delete(folder_name(queue))

    def delete_abandoned(self) -> int:
        """Deletes the temporary queues whose processes are all dead; how many."""
        if not self._dead_marks():
            return 0
        with self._changing():
            dead = self._dead_marks()  # anew: now nobody adds one
            for safe, marks in dead.items():
                for mark in marks:
                    os.unlink(f"{self._temporary}/{safe}/{mark}")
            return sum(self._delete_if_unused(safe) for safe in dead)

    def _dead_marks(self) -> dict[str, list[str]]:
        """Marks of dead processes by queue; a queue that has lost all of its marks counts too: its deletion was cut short."""
        found = {}
        for safe in os.listdir(self._temporary):
            with suppress(FileNotFoundError):
                marks = os.listdir(f"{self._temporary}/{safe}")
                dead = [mark for mark in marks if not owner_alive(mark)]
                if dead or not marks:
                    found[safe] = dead
        return found

    def _delete_if_unused(self, safe: str) -> bool:
        marks = f"{self._temporary}/{safe}"
        if not os.path.isdir(marks) or os.listdir(marks):
            return False
        self._delete(safe)
        return True

    def _delete(self, safe: str) -> None:
        # Bindings, messages, marks: killed in between, a temporary queue still has its folder of marks and is deleted again.
        for table in list(self.exchanges.all()):
            kept = tuple(binding for binding in table.bindings if folder_name(binding.queue) != safe)
            if kept != table.bindings:
                self.exchanges.put(table._replace(bindings=kept))
        for path in (*self._paths(safe), f"{self._folder}/later/{safe}"):
            self._discard(path)

    def _discard(self, path: str) -> None:
        """Removes a folder: gone for everybody in one instant, then file by file."""
        doomed = f"{self._folder}/incoming/{owner()}.{secrets.token_hex(4)}.deleted"
        with suppress(FileNotFoundError):
            os.rename(path, doomed)
            remove_tree(doomed)

    def _paths(self, safe: str) -> tuple[str, str]:
        """Folder of the queue's messages, folder of its marks."""
        return f"{self._queues}/{safe}", f"{self._temporary}/{safe}"

    # -- exchanges and bindings ----------------------------------------------------------------------------------------

    def declare_exchange(self, name: str, kind: str) -> str:
        """Makes the exchange unless it is there; its type."""
        table = self.exchange(name)
        if table is None:
            with self._changing():
                table = self.exchanges.get(name)
                if table is None:
                    table = Table(name, kind)
                    self.exchanges.put(table)
        return table.kind

    def delete_exchange(self, name: str) -> None:
        """Removes the exchange and its bindings; queues stay."""
        with self._changing():
            self.exchanges.remove(name)

    def bind(self, exchange: str, key: str, queue: str) -> bool:
        """Binds the queue; False when there is no such exchange."""
        return self._change_bindings(exchange, Binding(key, queue), wanted=True)

    def unbind(self, exchange: str, key: str, queue: str) -> bool:
        """Takes a binding away; False when there is no such exchange."""
        return self._change_bindings(exchange, Binding(key, queue), wanted=False)

    def route(self, exchange: str, routing_key: str) -> list[str]:
        """The queues that a message reaches. The exchange without a name leads to the queue of that name."""
        if not exchange:
            return [routing_key]
        table = self.exchange(exchange)
        reached = route(table.kind, table.bindings, routing_key) if table else []
        meant = self._meant.get(exchange)
        if not reached and meant and any(map(self.has_queue, route(meant.kind, meant.bindings, routing_key))):
            table = self._mended(exchange)  # a binding of the settings is gone
            reached = route(table.kind, table.bindings, routing_key) if table else []
        return reached

    def exchange(self, name: str) -> Table | None:
        """The exchange as it is now, mended where its table is damaged; None when nobody declared it. Raises OSError."""
        meant = self._meant.get(name)
        try:
            table = self.exchanges.get(name)
        except Damaged:
            return self._mended(name)
        return self._mended(name) if table and meant and table.kind != meant.kind else table

    def _mended(self, name: str) -> Table | None:
        """Declares the exchange anew from the settings, and sets aside a table that is none: no message waits for an operator.

        What else was bound (replies to remote control) is bound again by its process when that connects anew.
        """
        meant = self._meant.get(name)
        with self._changing():
            try:
                table = self.exchanges.get(name)
                if table and meant and table.kind != meant.kind:
                    raise Damaged(errno.EIO, f"damaged exchange table (of type {table.kind}, not {meant.kind})", name)
            except Damaged as damage:
                self.exchanges.set_aside(name, damage)
                table = None
            if meant is not None:
                known = table.bindings if table else ()
                # Only queues that are there: one that was never declared gets its binding with its declaration.
                lost = (each for each in meant.bindings if each not in known and self.has_queue(each.queue))
                table = meant._replace(bindings=(*known, *lost))
                self.exchanges.put(table)
            return table

    def _change_bindings(self, exchange: str, binding: Binding, wanted: bool) -> bool:
        table = self.exchange(exchange)
        if table is not None and (binding in table.bindings) == wanted:
            return True
        with self._changing():
            table = self.exchanges.get(exchange)
            if table is None:
                return False
            others = tuple(known for known in table.bindings if known != binding)
            self.exchanges.put(table._replace(bindings=(*others, binding) if wanted else others))
            return True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One process at a time. The kernel gives the lock back when its holder is killed."""
        with open(open_or_make(f"{self._folder}/lock", 0o640), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
