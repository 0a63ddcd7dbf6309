"""Workers that need more memory than there is."""

from __future__ import annotations

from collections.abc import Callable

from warren.config import Settings, memory_checks

Loaded = Callable[..., Settings]
GB = 10**9


def test_too_many_processes_are_a_warning(loaded: Loaded) -> None:
    """The option that asks for most of them is named, with what they take and what there is."""
    settings = loaded("[worker:a]\nconcurrency = 2\n[worker:b]\nconcurrency = 1000\n")
    [warning] = memory_checks.warnings(settings, 8 * GB)
    assert "warren.ini:4: [worker:b] concurrency: the workers' 1002 processes" in warning
    assert "20.2 GB" in warning
    assert "8.0 GB" in warning


def test_processes_that_leave_no_room_for_tasks_are_a_warning(loaded: Loaded) -> None:
    """A thousand of them fit into 25 GB as long as no task does anything."""
    assert list(memory_checks.warnings(loaded("[worker:a]\nconcurrency = 1000\n"), 25 * GB))
    assert not list(memory_checks.warnings(loaded("[worker:a]\nconcurrency = 1000\n"), 50 * GB))


def test_what_fits_is_not(loaded: Loaded) -> None:
    """Nor what is disabled, nor a host whose memory nobody knows."""
    settings = loaded(
        "[worker:a]\nconcurrency = 100\n[worker:b]\nenabled = no\nconcurrency = 1000\n"
    )
    assert not list(memory_checks.warnings(settings, 8 * GB))
    assert not list(memory_checks.warnings(loaded("[worker:a]\nconcurrency = 1000\n"), 0))


def test_this_host_says_what_it_has() -> None:
    """Its memory, or the least of its limits."""
    assert 10**8 < memory_checks.room() < 10**14
