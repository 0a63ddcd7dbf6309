"""What a daemon that was killed has left: a worker ends what its tasks have started, but not when somebody kills the worker."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

from warren.descendants import sweep
from warren.events import Event
from warren.log import get
from warren.process import Process, adopt_orphans

_NAME = b"SUPERVISOR_PROCESS_NAME="


class Leftovers:
    """The heirs of the suite's daemons, in supervisord's loop: whoever loses its parent becomes supervisord's child."""

    def __init__(self) -> None:
        adopt_orphans()
        self._own_group = os.getpgid(0)

    def turn(self, known: Container[int], daemons: Container[str]) -> None:
        """Kill what the daemons of these names have left. `known` holds the numbers of supervisord's own children."""
        swept = sweep(known, lambda child: self._is_leftover(child, daemons), 0.0)
        if swept.ended:
            get().warning(Event.LEFTOVERS_ENDED, processes={str(each.pid): name for each, name in swept.ended.items()})

    def _is_leftover(self, child: Process, daemons: Container[str]) -> bool:
        """Return whether a child came from a daemon: one of supervisord's own has its group, a program has one of its own.

        What a program of the operator's (supervisor.d) leaves is the operator's business. Each program is told its name.
        """
        try:
            if os.getpgid(child.pid) == self._own_group:
                return False
            words = Path(f"/proc/{child.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False  # gone, or another user's
        names = [word.removeprefix(_NAME).decode(errors="replace") for word in words if word.startswith(_NAME)]
        return not names or names[0] in daemons
