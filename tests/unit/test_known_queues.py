"""The names of queues that outlive their sections."""

from __future__ import annotations

from pathlib import Path

import pytest

from warren.broker.known_queues import KnownQueues


def test_a_queue_outlives_its_section(tmp_path: Path) -> None:
    """A queue that the settings lost is remembered until the broker no longer has it.

    It is remembered over a restart, too.
    """
    path = tmp_path / "queues.json"
    assert KnownQueues(path, ["default", "lonely"]).removed == []
    known = KnownQueues(path, ["default"])
    assert known.removed == ["lonely"]
    known.gone("default")  # declared: it is not forgotten
    known.gone("lonely")
    assert (known.removed, KnownQueues(path, []).removed) == ([], ["default"])


@pytest.mark.parametrize("content", [b"", b"[1, null]", b"{}", b"\xff", b"[" * 100_000])
def test_a_damaged_list(tmp_path: Path, content: bytes) -> None:
    """It is as good as none, and made again."""
    path = tmp_path / "queues.json"
    path.write_bytes(content)
    assert KnownQueues(path, ["default"]).removed == []
    assert KnownQueues(path, []).removed == ["default"]


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """The queues are known all the same, while the process lives."""
    assert KnownQueues(tmp_path / "missing" / "queues.json", ["default"]).removed == []
