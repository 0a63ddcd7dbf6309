"""The restart policy: which ends are failures, and the pause before a daemon's next start. Pure.

`daemon_process.py` acts by it. After an exit code of `errors.FINAL` no start follows.
"""

from __future__ import annotations

from warren.errors import ExitCode

#: After this many failures in a row a daemon is in a crash loop; BACKING_OFF_PAUSE is then the
#: pause in seconds between two starts.
TRIES = 5
BACKING_OFF_PAUSE = 60
#: A daemon that has been at work for this many seconds has started well. A daemon that ends sooner
#: has failed.
PROOF = 10.0


def is_failure(status: int, started_well: bool) -> bool:
    """Return whether an end that is not final, with this exit code, is a failure."""
    return not started_well and status != ExitCode.RESTART


def is_crash_loop(failures: int) -> bool:
    """Return whether a daemon with so many failures in a row is in a crash loop."""
    return failures >= TRIES


def pause(failures: int) -> int:
    """Return the seconds before the next start, after so many failures in a row."""
    return BACKING_OFF_PAUSE if is_crash_loop(failures) else failures
