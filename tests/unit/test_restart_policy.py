"""After which end, and which pause, supervisord starts a daemon again."""

from __future__ import annotations

from warren.errors import ExitCode
from warren.supervise.restart_policy import BACKING_OFF_PAUSE, TRIES, is_failure, pause


def test_the_pause_grows_until_a_crash_loop() -> None:
    """Then it stays: a daemon still waits when its broker comes back after an hour."""
    pauses = [pause(failures) for failures in range(1, TRIES + 2)]
    assert pauses == [*range(1, TRIES), BACKING_OFF_PAUSE, BACKING_OFF_PAUSE]


def test_an_end_is_a_failure_only_before_the_daemon_has_started_well() -> None:
    """Unless the daemon itself has asked to be started again."""
    assert is_failure(ExitCode.FAILURE, started_well=False)
    assert is_failure(ExitCode.OK, started_well=False)
    assert not is_failure(ExitCode.FAILURE, started_well=True)
    assert not is_failure(ExitCode.RESTART, started_well=False)
