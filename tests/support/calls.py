"""What a provider stand-in notes: when it was called."""

from __future__ import annotations

from pathlib import Path

#: The beginning of a module of tasks that note their calls: one line, one write each.
NOTING = """
import os, time

def note(path, word=""):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME)}{word}\\n".encode())
    os.close(fd)
"""


def calls(path: Path) -> list[float]:
    """When the provider was called, in seconds."""
    return (
        sorted(int(line) / 1e9 for line in path.read_text(encoding="ascii").split())
        if path.exists()
        else []
    )


def worst(times: list[float], window: float) -> int:
    """The most calls in any interval of the window's length."""
    return max(sum(start <= other < start + window for other in times) for start in times)
