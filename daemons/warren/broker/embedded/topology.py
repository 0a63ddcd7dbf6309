"""The queues, exchanges and bindings of the embedded broker.

One process at a time changes these, and all processes read them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from warren.broker.embedded.exchanges import Damaged, Exchanges, Table
from warren.broker.embedded.file_names import directory_name, owner, owner_alive
from warren.broker.embedded.filesystem import remove_tree
from warren.broker.embedded.routing import Binding, route
from warren.system.atomic_write import sync_directory
from warren.system.regular_file import make_directory, open_or_make


class Topology:
    """The declared queues, exchanges and bindings below `directory`.

    A temporary queue (exclusive or auto-delete) exists as long as a process that uses it. Each such
    process leaves its mark in temporary/QUEUE/OWNER, and the queue is deleted with its last mark. A
    durable queue exists until it is deleted.

    meant: the exchanges of the settings with all their bindings. An exchange whose table is
    damaged, or is gone, or lacks a binding is declared again from these.
    """

    def __init__(self, directory: Path, meant: Sequence[Table] = ()) -> None:
        self.exchanges = Exchanges(directory)
        self._meant = {table.name: table for table in meant}
        self._directory = directory
        self._queues, self._temporary = f"{directory}/queues", f"{directory}/temporary"

    def open(self) -> None:
        """Make the directories. Raises OSError."""
        make_directory(self._directory)
        self.exchanges.open()
        for path in (self._queues, self._temporary, f"{self._directory}/incoming"):
            make_directory(path)

    # -- queues ------------------------------------------------------------------------------------

    def declare_queue(self, queue: str, temporary: bool) -> None:
        """Make the queue unless it exists. A temporary queue gets the mark of this process."""
        path, marks = self._paths(directory_name(queue))
        if not temporary and os.path.isdir(path) and not os.path.isdir(marks):
            return
        with self._changing():
            there, marked = os.path.isdir(path), os.path.isdir(marks)
            # A durable queue stays durable, whichever process declares it again.
            if temporary and (marked or not there):
                make_directory(marks)
                # The mark is made first: a kill in between leaves a mark without a queue. That mark
                # is removed after this process's death.
                with open(f"{marks}/{owner()}", "ab"):
                    pass
            elif marked:
                self._discard(marks)  # another process declares the queue durable, so it stays
            if not there:
                make_directory(path, to=f"{self._directory}/queue-{directory_name(queue)}")
                # Messages on disk are lost if their directory is not on disk.
                sync_directory(self._queues)

    def has_queue(self, queue: str) -> bool:
        """Return whether the queue is declared."""
        return os.path.isdir(f"{self._queues}/{directory_name(queue)}")

    def release_queue(self, queue: str) -> None:
        """End this process's use of the queue.

        A temporary queue that no process uses any more is deleted.
        """
        marks = f"{self._temporary}/{directory_name(queue)}"
        if not os.path.isdir(marks):
            return
        with self._changing():
            # A forked child that closes what it has inherited has no mark. It must not delete its
            # parent's queue.
            with suppress(FileNotFoundError):
                os.unlink(f"{marks}/{owner()}")
            self._delete_if_unused(directory_name(queue))

    def delete_queue(self, queue: str) -> None:
        """Delete the queue with its bindings and its messages."""
        with self._changing():
            self._delete(directory_name(queue))

    def delete_abandoned(self) -> int:
        """Delete the temporary queues whose processes are all dead; return the number of these
        queues.
        """
        if not self._dead_marks():
            return 0
        with self._changing():
            dead = self._dead_marks()  # read again under the lock, where no process adds a mark
            for safe, marks in dead.items():
                for mark in marks:
                    os.unlink(f"{self._temporary}/{safe}/{mark}")
            return sum(self._delete_if_unused(safe) for safe in dead)

    def _dead_marks(self) -> dict[str, list[str]]:
        """Return the marks of dead processes, by queue.

        A queue without any mark is returned, too: its deletion was cut off.
        """
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
        # First the bindings, then the messages, then the marks: after a kill in between, a
        # temporary queue still has its directory of marks, and is deleted again.
        for table in list(self.exchanges.all()):
            kept = tuple(
                binding for binding in table.bindings if directory_name(binding.queue) != safe
            )
            if kept != table.bindings:
                self.exchanges.put(table._replace(bindings=kept))
        for path in (*self._paths(safe), f"{self._directory}/later/{safe}"):
            self._discard(path)

    def _discard(self, path: str) -> None:
        """Remove a directory. It vanishes for every process in one step; then its files are
        removed.
        """
        doomed = f"{self._directory}/incoming/{owner()}.{secrets.token_hex(4)}.deleted"
        with suppress(FileNotFoundError):
            os.rename(path, doomed)
            remove_tree(doomed)

    def _paths(self, safe: str) -> tuple[str, str]:
        """Return the directory of the queue's messages, and the directory of its marks."""
        return f"{self._queues}/{safe}", f"{self._temporary}/{safe}"

    # -- exchanges and bindings --------------------------------------------------------------------

    def declare_exchange(self, name: str, kind: str) -> str:
        """Make the exchange unless it exists; return its type."""
        table = self.exchange(name)
        if table is None:
            with self._changing():
                table = self.exchanges.get(name)
                if table is None:
                    table = Table(name, kind)
                    self.exchanges.put(table)
        return table.kind

    def delete_exchange(self, name: str) -> None:
        """Remove the exchange and its bindings. Its queues stay."""
        with self._changing():
            self.exchanges.remove(name)

    def bind(self, exchange: str, key: str, queue: str) -> bool:
        """Bind the queue; return False when there is no such exchange."""
        return self._change_bindings(exchange, Binding(key, queue), wanted=True)

    def unbind(self, exchange: str, key: str, queue: str) -> bool:
        """Remove a binding; return False when there is no such exchange."""
        return self._change_bindings(exchange, Binding(key, queue), wanted=False)

    def route(self, exchange: str, routing_key: str) -> list[str]:
        """Return the queues that a message reaches.

        The default exchange leads to the queue that the routing key names.
        """
        if not exchange:
            return [routing_key]
        table = self.exchange(exchange)
        reached = route(table.kind, table.bindings, routing_key) if table else []
        meant = self._meant.get(exchange)
        if (
            not reached
            and meant
            and any(map(self.has_queue, route(meant.kind, meant.bindings, routing_key)))
        ):
            table = self._repaired(exchange)  # the table lacks a binding of the settings
            reached = route(table.kind, table.bindings, routing_key) if table else []
        return reached

    def exchange(self, name: str) -> Table | None:
        """Return the exchange as it is now; None when it is not declared. Raises OSError.

        A damaged table is repaired first.
        """
        meant = self._meant.get(name)
        try:
            table = self.exchanges.get(name)
        except Damaged:
            return self._repaired(name)
        return self._repaired(name) if table and meant and table.kind != meant.kind else table

    def _repaired(self, name: str) -> Table | None:
        """Declare the exchange again from the settings, and move a damaged table away.

        So no message has to wait for an operator. Processes declare other bindings, such as those
        for replies to remote control, when they connect again.
        """
        meant = self._meant.get(name)
        with self._changing():
            try:
                table = self.exchanges.get(name)
                if table and meant and table.kind != meant.kind:
                    raise Damaged(
                        errno.EIO,
                        f"damaged exchange table (of type {table.kind}, not {meant.kind})",
                        name,
                    )
            except Damaged as damage:
                self.exchanges.move_away(name, damage)
                table = None
            if meant is not None:
                known = table.bindings if table else ()
                # Only existing queues: a queue that was never declared gets its binding when it is
                # declared.
                lost = (
                    each
                    for each in meant.bindings
                    if each not in known and self.has_queue(each.queue)
                )
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
        """Hold the lock under which one process at a time makes changes.

        The kernel releases the lock when its holder is killed.
        """
        with open(open_or_make(f"{self._directory}/lock", 0o640), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
