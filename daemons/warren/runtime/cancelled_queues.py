"""The queues that remote control has cancelled for a worker, in a file that outlives the worker.

A cancelled queue stays cancelled over each restart that no operator asked for. Such restarts follow
a crash or a kill, a worker that hung or grew too big, or new settings. A restart or stop by an
operator clears the list (`supervise` does that). A worker without a `supervise` clears the list at
its own clean end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.atomic_write import replace_file
from warren.system.regular_file import make_directory, read_regular, remove_any


class CancelledQueues:
    """The file of one worker, in the `worker` directory of `state_dir`."""

    def __init__(self, state_dir: Path, program: str) -> None:
        self._program = program
        self._path = state_dir / "worker" / f"{program}.cancelled"

    def read(self) -> set[str]:
        """Return the queues; no queues when the file is missing or damaged."""
        try:
            names = json.loads(read_regular(self._path)[0])
        except (OSError, ValueError, RecursionError):
            return set()
        return (
            {each for each in names if isinstance(each, str)} if isinstance(names, list) else set()
        )

    def write(self, queues: Iterable[str]) -> None:
        """Keep these queues in the file.

        A failure is logged. Then the queues are kept only for as long as this process lives.
        """
        try:
            make_directory(self._path.parent)
            replace_file(self._path, json.dumps(sorted(queues)), mode=0o600)
        except OSError as error:
            consequence = "a worker that starts again takes from its cancelled queues again"
            logger().error(
                Event.CANNOT_WRITE,
                path=str(self._path),
                reason=error.strerror,
                consequence=consequence,
            )

    def take_up(self, queues: Iterable[str], controlled: bool) -> set[str]:
        """Return which of a worker's `queues` are still cancelled when the worker starts.

        Cancelled queues that the worker no longer has are forgotten.

        controlled: whether remote control is on. Without remote control no client could add a queue
        again, so no queue stays cancelled.
        """
        cancelled = self.read()
        if not cancelled:
            return set()
        if not controlled:
            self.forget(queues, "[worker:NAME] remote_control is off")
            return set()
        holds = cancelled & set(queues)
        if holds != cancelled:
            self.write(holds)
        for queue in sorted(holds):
            logger().warning(
                Event.QUEUE_CANCELLED, queue=queue, reason="cancelled before this start"
            )
        return holds

    def forget(self, queues: Iterable[str], reason: str) -> None:
        """Clear the list, and log which of these queues the worker consumes again."""
        for queue in sorted(self.read() & set(queues)):
            logger().info(Event.QUEUE_RESUMED, program=self._program, queue=queue, reason=reason)
        try:
            remove_any(self._path)
        except OSError:
            self.write(())
