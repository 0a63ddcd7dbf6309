"""The hearts of the programs as the supervisor's own loop sees them. Pure: another file reads and acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from warren.config import Settings
from warren.heartbeat import AT_WORK, Beat

#: The seconds that one turn of the loop may add to a silence. A longer turn is a laptop that slept, a stopped supervisord or
#: a host without a processor to spare: the daemons may not have run either, and one look says nothing of them.
LONGEST_TURN = 2.0
#: A daemon that looks for its broker, or hands back its work, may be silent so many times longer.
_PATIENCE = 3
_CONNECT_MARGIN = 5.0
#: The time for a start is doubled at most so many times.
_DOUBLINGS = 5


@dataclass(frozen=True)
class Sight:
    """What was seen of one process: its last beat, None before the first, and the seconds in which the loop saw no newer one."""

    pid: int
    beat: Beat | None = None
    silence: float = 0.0

    @property
    def state(self) -> str:
        """What the heart says; empty before the first beat."""
        return self.beat.state if self.beat else ""


def look(
    seen: Mapping[str, Sight], beats: Mapping[str, Beat], pids: Mapping[str, int], turn: float, trusted: bool
) -> dict[str, Sight]:
    """The sights of all programs that have a process, `turn` seconds after `seen`.

    A beat of another process than the program's counts for nothing. When hearts cannot be written it is not `trusted` that a
    silence means anything, and none grows.
    """
    step = min(max(turn, 0.0), LONGEST_TURN) if trusted else 0.0
    return {program: _look(seen.get(program), beats.get(program), pid, step) for program, pid in pids.items()}


def _look(before: Sight | None, beat: Beat | None, pid: int, step: float) -> Sight:
    if beat is not None and beat.process.pid != pid:
        beat = None
    if before is None or before.pid != pid:
        return Sight(pid, beat)
    if beat is None or (before.beat is not None and beat.mark == before.beat.mark):
        return Sight(pid, before.beat, before.silence + step)
    return Sight(pid, beat)


def at_work(sight: Sight | None, settings: Settings) -> bool:
    """Whether the program does its work now."""
    return sight is not None and sight.state in AT_WORK and sight.silence < settings.supervise.heart_timeout


def is_starting(sight: Sight) -> bool:
    """Whether it imports the tasks, or forks its children, and no loop turns yet."""
    return sight.state in ("", "starting")


def patience(sight: Sight, settings: Settings, slow_starts: int = 0) -> float:
    """Seconds of silence after which the program counts as hung, after so many starts that were too slow.

    Each of those doubles the time: one that was a little slow is not ended for ever at the same place.
    """
    terms = settings.supervise
    if is_starting(sight):
        return max(terms.start_timeout, terms.heart_timeout) * (1 << min(slow_starts, _DOUBLINGS))
    if sight.state not in AT_WORK:  # an outage of the broker, or of the network's names, is not mended by a restart
        return _PATIENCE * max(terms.heart_timeout, settings.broker.connect_timeout)
    # Two attempts to reach a broker that has just vanished pass before the heart says `connecting`.
    return max(terms.heart_timeout, 2 * settings.broker.connect_timeout + _CONNECT_MARGIN)
