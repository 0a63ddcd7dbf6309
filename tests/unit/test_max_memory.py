"""How much memory each daemon may use."""

from __future__ import annotations

from pathlib import Path

from warren.config import Settings
from warren.config.schema import BeatSettings, WorkerSettings
from warren.supervise.liveness.max_memory import memory_ceiling


def test_each_daemon_has_the_ceiling_of_its_section(tmp_path: Path) -> None:
    """A worker that the settings no longer have, and a daemon that has just started, have none."""
    settings = Settings(
        directory=tmp_path,
        host="here",
        workers={"main": WorkerSettings(max_memory=10)},
        beat=BeatSettings(max_memory=20),
    )
    programs = ("worker-main", "worker-gone", "beat", "quota-watchdog")
    assert [memory_ceiling(each, 3600.0, settings) for each in programs] == [10, 0, 20, 0]
    assert [memory_ceiling(each, 1.0, settings) for each in programs] == [0, 0, 0, 0]
