"""The memory that a daemon may use, by `max_memory` of its section. Pure: recover.py acts."""

from __future__ import annotations

from warren.config import Settings

#: Seconds after its start in which a daemon may grow without limit: a ceiling below the memory that
#: the daemon needs must not become a storm of restarts.
_GROWTH = 60.0


def memory_ceiling(program: str, age: float, settings: Settings) -> int:
    """Return how many bytes the daemon may use, `age` seconds after its start; 0: no ceiling."""
    if age < _GROWTH:
        return 0
    if program.startswith("worker-"):
        worker = settings.workers.get(program.removeprefix("worker-"))
        return worker.max_memory if worker else 0
    ceilings = {
        "beat": settings.beat.max_memory,
        "quota-watchdog": settings.watchdog.max_memory,
        "web": settings.web.max_memory,
    }
    return ceilings.get(program, 0)
