"""The line of STATUS."""

from __future__ import annotations

import pytest

from support.program_statuses import program_status
from warren.status.condition import Condition
from warren.status.suite_report import ProgramStatus, all_ready
from warren.supervise.status.summary import summary

BACKING_OFF = program_status(
    "worker-crawl",
    state="BACKOFF",
    pid=None,
    condition=Condition.BACKING_OFF,
    backing_off=True,
    last_error="exit status 1",
)
WATCHDOG, BEAT = (
    program_status("quota-watchdog"),
    program_status("beat", condition=Condition.STANDBY),
)


@pytest.mark.parametrize(
    ("state", "program_statuses", "quotas", "refusal", "line"),
    [
        (
            "running",
            [WATCHDOG, program_status("worker-a"), program_status("worker-b"), BEAT],
            2,
            "",
            "ready: 2 workers, beat on standby, quota-watchdog, 2 quotas",
        ),
        (
            "running",
            [program_status("beat"), program_status("worker-a")],
            0,
            "",
            "ready: 1 worker, beat leads",
        ),
        (
            "running",
            [program_status("worker-a"), BACKING_OFF],
            0,
            "",
            "running: 1 worker; backing off: worker-crawl (exit status 1, tried each minute)",
        ),
        (
            "running",
            [
                program_status("worker-a", condition=Condition.CONNECTING),
                program_status("beat", condition=Condition.STARTING, state="STARTING"),
            ],
            0,
            "",
            "running; not ready: worker-a (connecting), beat (starting)",
        ),
        (
            # The last error says why, where the word alone does not.
            "running",
            [
                program_status("worker-a", condition=Condition.RESTARTING, last_error="SIGKILL"),
                program_status("worker-b", condition=Condition.SILENT, last_error="SIGKILL"),
                program_status(
                    "worker-c", condition=Condition.UNREADABLE, last_error="c.json: no JSON"
                ),
            ],
            0,
            "",
            "running; not ready: worker-a (restarting: SIGKILL), worker-b (silent), "
            "worker-c (unreadable heartbeat: c.json: no JSON)",
        ),
        (
            "running",
            [
                program_status(
                    "beat",
                    state="FATAL",
                    pid=None,
                    condition=Condition.ENDED,
                    last_error="exit status 78 is final",
                )
            ],
            0,
            "",
            "running; ended: beat (exit status 78 is final)",
        ),
        (
            "running",
            [program_status("own", condition=Condition.STOPPED, pid=None, expected=False)],
            0,
            "",
            "ready; stopped: own",
        ),
        (
            "running",
            [program_status("worker-a")],
            0,
            "warren.ini:3: no",
            "ready: 1 worker; reload refused, the suite continues as before: warren.ini:3: no",
        ),
        (
            "starting",
            [program_status("worker-a"), program_status("beat", condition=Condition.NO_HEARTBEAT)],
            0,
            "",
            "starting: 1 worker; not ready: beat (no heartbeat yet)",
        ),
        ("reloading", [program_status("worker-a")], 0, "", "reloading: 1 worker"),
        (
            "stopping",
            [
                program_status("worker-a", condition=Condition.STOPPING),
                program_status("beat", state="STOPPED", pid=None),
            ],
            3,
            "",
            "stopping: worker-a",
        ),
        ("stopping", [], 0, "", "stopping"),
    ],
)
def test_the_line(
    state: str, program_statuses: list[ProgramStatus], quotas: int, refusal: str, line: str
) -> None:
    """It says what works, then what does not and why."""
    assert summary(state, program_statuses, quotas, refusal) == line


def test_an_operators_own_program_is_not_waited_for() -> None:
    """Ready is what Warren's own daemons are, but for those that an operator stopped."""
    assert all_ready(
        [
            program_status("worker-a"),
            program_status("own", condition=Condition.STARTING, expected=False),
        ]
    )
    assert not all_ready([program_status("worker-a"), BACKING_OFF])
