"""The heartbeats of the programs as supervisord's loop observes them.

Pure: another file reads the heartbeats and acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from warren.status.heartbeat import Heartbeat

#: Seconds of silence that one tick of the loop may add. A longer tick means that a laptop slept,
#: that supervisord was stopped, or that the host had no processor to spare. The daemons may not
#: have run either, so one look says nothing about them.
LONGEST_STEP = 2.0


@dataclass(frozen=True)
class Observation:
    """An observation of one process.

    heartbeat: the process's last heartbeat, None before the first. silence: for how many seconds
    the loop has seen no newer heartbeat. unreadable: why the heartbeat cannot be read now; empty
    when it can be read, and when there is no heartbeat.
    """

    pid: int
    heartbeat: Heartbeat | None = None
    silence: float = 0.0
    unreadable: str = ""

    @property
    def state(self) -> str:
        """Return the state in the heartbeat; empty before the first heartbeat."""
        return self.heartbeat.state if self.heartbeat else ""

    @property
    def details(self) -> dict[str, Any]:
        """Return the details in the heartbeat; none before the first heartbeat."""
        return self.heartbeat.details if self.heartbeat else {}


def look(
    seen: Mapping[str, Observation],
    heartbeats: Mapping[str, Heartbeat],
    pids: Mapping[str, int],
    elapsed: float,
    trusted: bool,
    errors: Mapping[str, str] | None = None,
) -> dict[str, Observation]:
    """Return the observations of all programs with a process, `elapsed` seconds after `seen`.

    A heartbeat of a different process than the program's is ignored. When heartbeats cannot be
    written (not `trusted`), silence means nothing, and no silence grows. `errors` says which
    heartbeats could not be read, and why.
    """
    step = min(max(elapsed, 0.0), LONGEST_STEP) if trusted else 0.0
    found = {
        program: _look(seen.get(program), heartbeats.get(program), pid, step)
        for program, pid in pids.items()
    }
    return {
        program: replace(observation, unreadable=(errors or {}).get(program, ""))
        for program, observation in found.items()
    }


def _look(
    before: Observation | None, heartbeat: Heartbeat | None, pid: int, step: float
) -> Observation:
    if heartbeat is not None and heartbeat.process.pid != pid:
        heartbeat = None
    if before is None or before.pid != pid:
        return Observation(pid, heartbeat)
    if heartbeat is None or (
        before.heartbeat is not None and heartbeat.mark == before.heartbeat.mark
    ):
        return Observation(pid, before.heartbeat, before.silence + step)
    return Observation(pid, heartbeat)
