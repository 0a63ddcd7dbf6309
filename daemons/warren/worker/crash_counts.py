"""Which tasks were running when their worker died.

A task that ends its worker must not do so for ever. The worker counts a lost pool child in the
message (request.py). When the worker itself is killed, no process is left that could count, and not
every broker counts. So each child notes in a file what it runs, and the worker's successor reads
that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from billiard.process import current_process

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.atomic_write import replace_file
from warren.system.regular_file import make_directory, open_or_make, read_regular, remove_any

#: Bytes of the file that belong to one pool child: the id of its task and the task's name, or
#: zeros.
_SLOT = 4096
#: Characters of an id or a name that are kept. So many of any characters fit as JSON.
_KEPT = 160
#: Characters that are kept of the name and of the routing key of a task that was acknowledged
#: before it ran. Both fit beside the task's id.
_KEPT_NAME, _KEPT_KEY = 100, 64
#: Tasks whose crashes a worker remembers; the oldest are forgotten.
_REMEMBERED = 1000
#: Bound here: a task may replace the functions in the module json.
_encode = json.JSONEncoder().encode


class CrashCounts:
    """How often a worker of this host died while it ran a task, by the task's id.

    All workers of the host share one `directory`, and so count together. A crash that cannot be
    written (full disk) is not counted, and nothing else happens.
    """

    def __init__(self, directory: Path, program: str, processes: int) -> None:
        self._at_work, self._counts = (
            directory / f"{program}.tasks",
            directory / f"{program}.crashes",
        )
        self._requeued = directory / f"{program}.requeued"
        self._processes = processes
        self._file = -1
        self._inode = 0
        self._task_id = ""
        self._counted: dict[str, int] = {}
        #: Tasks that died with the worker before, and whose messages do not come again because they
        #: were acknowledged before the tasks ran: id, name and routing key.
        self.gone: list[tuple[str, str, str]] = []
        #: Tasks whose loss is counted in a copy of the message that the broker has not confirmed
        #: yet.
        self._on_way: list[str] = []

    def open(self, unasked: bool = False) -> None:
        """Count the tasks that the last worker was running, if that worker did not end cleanly.

        Call this before any child is forked.

        unasked: the last worker ended cleanly, but its supervisor had not asked for that. A task
        may have sent the signal, and may do so each time it runs. So the tasks that were requeued
        at that end count as well.
        """
        try:
            make_directory(self._at_work.parent)
            self._file = open_or_make(self._at_work)
            self._inode = os.fstat(self._file).st_ino
            left = list(self._left())
            self.gone = [(task_id, name, key) for task_id, name, key in left if key is not None]
            died = {task_id: name for task_id, name, key in left if key is None} | (
                _listed(self._requeued) if unasked else {}
            )
            if died:
                self._add(died)
            # Cleared only now: if the worker dies before this line, the crash counts twice, and the
            # task has one try less. The file gets its full size here, so that notes succeed when
            # the disk is full later.
            self._clear()
            remove_any(self._requeued)
            os.posix_fallocate(self._file, 0, _SLOT * self._processes)
        except OSError as error:
            consequence = "a task that ends its worker is not counted"
            logger().error(
                Event.CANNOT_WRITE,
                path=str(self._at_work),
                reason=error.strerror,
                consequence=consequence,
            )
            return
        for path in self._counts.parent.glob("*.crashes"):
            for task_id, count in _read(path).items():
                self._counted[task_id] = self._counted.get(task_id, 0) + count
        for task_id, name in died.items():
            crashes = self._counted[task_id]
            reason = "the worker died while the task ran"
            logger().warning(
                Event.TASK_REQUEUED, task_id=task_id, task=name, crashes=crashes, reason=reason
            )

    def of(self, task_id: str) -> int:
        """Return how often the task was running when its worker died."""
        return self._counted.get(task_id[:_KEPT], 0) if self._counted else 0

    def began(self, index: int, task_id: str) -> bool:
        """Return whether the dead pool child with this index noted that it runs the task."""
        try:
            noted = json.loads(os.pread(self._file, _SLOT, _SLOT * index).rstrip(b"\0"))
            return bool(task_id) and isinstance(noted, list) and noted[:1] == [task_id[:_KEPT]]
        except (OSError, ValueError, RecursionError):
            return False  # There is no note, or some process has written other bytes over it.

    # -- losses that no message carries ------------------------------------------------------------

    def count(self, task_id: str) -> int:
        """Count a loss of the task here, because the broker delivers the message unchanged.

        Return how many losses this host knows.
        """
        self._count_all([task_id])
        return self.of(task_id)

    def lost_unheard(self, index: int, task_id: str) -> None:
        """Count the task if the dead pool child with this index had begun it unheard by the worker.

        The connection that delivered the task was lost before the child began. So Celery no longer
        listened for the beginning.
        """
        if self.began(index, task_id):
            reason = "the connection that delivered the task was lost, and then its process"
            logger().warning(
                Event.TASK_REQUEUED, task_id=task_id, crashes=self.count(task_id), reason=reason
            )

    def on_way(self, task_id: str) -> None:
        """Note that the task's loss is counted in a copy that is on its way to the broker."""
        self._on_way.append(task_id)

    def carried(self, task_id: str) -> None:
        """Note that the broker has that copy."""
        with suppress(ValueError):
            self._on_way.remove(task_id)

    def disconnected(self) -> None:
        """Count each loss whose copy is unconfirmed: the broker delivers the message unchanged."""
        on_way, self._on_way = self._on_way, []
        if on_way:
            self._count_all(on_way)

    def _count_all(self, task_ids: Iterable[str]) -> None:
        keys = [task_id[:_KEPT] for task_id in task_ids]
        for key in keys:
            self._counted[key] = self._counted.get(key, 0) + 1
        with suppress(OSError):
            self._add(keys)

    def _add(self, task_ids: Iterable[str]) -> None:
        """Write one more loss of each task into this worker's own file. Raises OSError."""
        own = _read(self._counts)
        for task_id in task_ids:
            own[task_id] = own.pop(task_id, 0) + 1  # the newest entries come last
        replace_file(self._counts, json.dumps(dict(list(own.items())[-_REMEMBERED:])))

    def forget(self, requeued: Sequence[tuple[str, str]] = ()) -> None:
        """Clear the notes as the worker ends cleanly, and write down which tasks were requeued.

        `requeued` are the tasks that did not finish: id and name. They count as crashes only if the
        supervisor did not ask for this end.
        """
        if self._file >= 0:
            with suppress(OSError):
                replace_file(
                    self._requeued,
                    _encode([[task_id[:_KEPT], name[:_KEPT]] for task_id, name in requeued]),
                )
            self._clear()

    def _left(self) -> Iterator[tuple[str, str, str | None]]:
        content = os.pread(self._file, os.fstat(self._file).st_size, 0)
        for start in range(0, len(content), _SLOT):
            # There is no task in it, or a power cut has left half a note.
            with suppress(ValueError, TypeError):
                task_id, name, *key = json.loads(content[start : start + _SLOT].rstrip(b"\0"))
                yield str(task_id), str(name), str(key[0]) if key else None

    def _clear(self) -> None:
        os.pwrite(self._file, bytes(os.fstat(self._file).st_size), 0)

    # -- in the pool children ----------------------------------------------------------------------

    def begin_child(self) -> None:
        """Clear the note of the lost child before this one, whose task the worker has counted."""
        self._note(b"")

    def task_began(self, task: Any = None, **_: Any) -> None:
        """Note that this child runs the task."""
        # A task that another task runs itself, with `apply`, is part of that task.
        if not task.request.is_eager:
            self._task_id = task.request.id
            note = [task.request.id[:_KEPT], task.name[:_KEPT]]
            if not task.acks_late:
                key = str((task.request.delivery_info or {}).get("routing_key"))
                note = [note[0], task.name[:_KEPT_NAME], key[:_KEPT_KEY]]
            self._note(_encode(note).encode())

    def task_ended(self, task_id: str | None = None, **_: Any) -> None:
        """Note that this child runs no task."""
        if task_id == self._task_id:
            self._note(b"")

    def _note(self, text: bytes) -> None:
        # The written bytes outlive the process. The whole slot is written, so nothing of an older
        # note remains.
        with suppress(OSError):
            if os.fstat(self._file).st_ino != self._inode:
                return  # a task has closed the file, and the number now belongs to another file
            os.pwrite(self._file, text.ljust(_SLOT, b"\0"), _SLOT * current_process().index)


def _listed(path: Path) -> dict[str, str]:
    try:
        return {str(task_id): str(name) for task_id, name in json.loads(read_regular(path)[0])}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def _read(path: Path) -> dict[str, int]:
    try:
        said = json.loads(read_regular(path)[0])
        return {str(task_id): int(count) for task_id, count in said.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}  # There is no file yet, or it was damaged: then the count begins again.
