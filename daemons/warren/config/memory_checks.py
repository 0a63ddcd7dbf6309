"""An estimate of the memory that the workers' processes will need, and a warning about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from warren.config.settings import Settings

#: Bytes of one pool child with small tasks, measured as PSS with 100 and with 200 children. Then
#: bytes of each other process of the suite.
_CHILD = 20_000_000
_DAEMON = 40_000_000
#: The part of the memory that processes may use before any task uses memory. Real tasks need about
#: the same amount again.
_PART = 0.5
#: Files that hold the memory limit of the unit or of the container.
_LIMITS = (
    Path("/sys/fs/cgroup/system.slice/warren.service/memory.max"),
    Path("/sys/fs/cgroup/memory.max"),
    # Control groups of version 1:
    Path("/sys/fs/cgroup/memory/system.slice/warren.service/memory.limit_in_bytes"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def warnings(settings: Settings, room: int) -> Iterator[str]:
    """Yield a warning when the workers' processes alone need more than half of `room` bytes. Pure.

    A `room` of 0 means that the memory of the host is unknown.
    """
    workers = {name: worker for name, worker in settings.workers.items() if worker.enabled}
    needed = sum(worker.concurrency * _CHILD + _DAEMON for worker in workers.values()) + 2 * _DAEMON
    if needed <= room * _PART or not room or not workers:
        return
    name = max(workers, key=lambda each: workers[each].concurrency)
    processes = sum(worker.concurrency for worker in workers.values())
    yield (
        f"{settings.origin(f'worker:{name}', 'concurrency')}: [worker:{name}] concurrency: the "
        f"workers' {processes} processes take about {_gigabytes(needed)} even without tasks, "
        f"of {_gigabytes(room)}; lower concurrency, or add memory"
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def room() -> int:
    """Return the bytes of memory that the suite may use on this host; 0 when they are unknown."""
    found = [int(text) for path in _LIMITS if (text := _read(path)).isdigit()]
    with suppress(ValueError, IndexError):
        line = next(
            (
                line
                for line in _read(Path("/proc/meminfo")).splitlines()
                if line.startswith("MemTotal:")
            ),
            "",
        )
        found.append(int(line.split()[1]) * 1024)
    return min(found, default=0)


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="ascii").strip()
    return ""
