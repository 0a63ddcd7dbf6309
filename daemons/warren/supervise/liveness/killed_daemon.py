"""The processes that a killed daemon leaves behind.

A worker ends the processes that its tasks have started, but cannot do so when it is killed.
"""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.descendants import sweep
from warren.system.process import Process, adopt_orphans

_NAME = b"SUPERVISOR_PROCESS_NAME="


class KilledDaemons:
    """Ends the orphans of the suite's daemons in supervisord's loop.

    A process that loses its parent becomes a child of supervisord.
    """

    def __init__(self) -> None:
        adopt_orphans()
        self._own_group = os.getpgid(0)

    def step(self, known: Container[int], daemons: Container[str]) -> None:
        """Kill the processes that the daemons of these names have left.

        `known` holds the process numbers of supervisord's own children.
        """
        swept = sweep(known, lambda child: self._is_leftover(child, daemons), 0.0)
        if swept.ended:
            logger().warning(
                Event.LEFTOVERS_ENDED,
                processes={str(each.pid): name for each, name in swept.ended.items()},
            )

    def _is_leftover(self, child: Process, daemons: Container[str]) -> bool:
        """Return whether a child came from a daemon.

        A child that supervisord itself started for its own use has supervisord's process group; a
        program has a group of its own. Each program finds its name in its environment. Processes
        that a program of the operator (supervisor.d) leaves are the operator's business.
        """
        try:
            if os.getpgid(child.pid) == self._own_group:
                return False
            variables = Path(f"/proc/{child.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False  # the process has ended, or belongs to another user
        names = [
            each.removeprefix(_NAME).decode(errors="replace")
            for each in variables
            if each.startswith(_NAME)
        ]
        return not names or names[0] in daemons
