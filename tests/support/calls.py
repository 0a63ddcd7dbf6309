"""What a provider stand-in noted: when it was called."""

from __future__ import annotations

from pathlib import Path


def calls(path: Path) -> list[float]:
    """When the provider was called, in seconds."""
    return sorted(int(line) / 1e9 for line in path.read_text(encoding="ascii").split()) if path.exists() else []


def worst(times: list[float], window: float) -> int:
    """The most calls in any interval of the window's length."""
    return max(sum(start <= other < start + window for other in times) for start in times)
