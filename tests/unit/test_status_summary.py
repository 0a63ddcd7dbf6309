"""The line of STATUS."""

from __future__ import annotations

from typing import Any

import pytest

from warren.status.condition import Condition
from warren.status.suite_report import ProgramStatus, all_ready
from warren.supervise.status.summary import summary


def at(program: str, **other: Any) -> ProgramStatus:
    fields: dict[str, Any] = {
        "state": "RUNNING",
        "pid": 7,
        "since": 1.0,
        "condition": Condition.READY,
        "condition_since": 1.0,
        "backing_off": False,
    }
    fields |= other
    return ProgramStatus(program, **{"ready": fields["condition"].ready, **fields})


BACKING_OFF = at(
    "worker-crawl",
    state="BACKOFF",
    pid=None,
    condition=Condition.BACKING_OFF,
    backing_off=True,
    last_error="exit status 1",
)
WATCHDOG, BEAT = at("quota-watchdog"), at("beat", condition=Condition.STANDBY)


@pytest.mark.parametrize(
    ("state", "program_statuses", "quotas", "refusal", "line"),
    [
        (
            "running",
            [WATCHDOG, at("worker-a"), at("worker-b"), BEAT],
            2,
            "",
            "ready: 2 workers, beat on standby, quota-watchdog, 2 quotas",
        ),
        ("running", [at("beat"), at("worker-a")], 0, "", "ready: 1 worker, beat leads"),
        (
            "running",
            [at("worker-a"), BACKING_OFF],
            0,
            "",
            "running: 1 worker; backing off: worker-crawl (exit status 1, tried each minute)",
        ),
        (
            "running",
            [
                at("worker-a", condition=Condition.CONNECTING),
                at("beat", condition=Condition.STARTING, state="STARTING"),
            ],
            0,
            "",
            "running; not ready: worker-a (connecting), beat (starting)",
        ),
        (
            # The last error says why, where the word alone does not.
            "running",
            [
                at("worker-a", condition=Condition.RESTARTING, last_error="SIGKILL"),
                at("worker-b", condition=Condition.SILENT, last_error="SIGKILL"),
                at("worker-c", condition=Condition.UNREADABLE, last_error="c.json: no JSON"),
            ],
            0,
            "",
            "running; not ready: worker-a (restarting: SIGKILL), worker-b (silent), "
            "worker-c (unreadable heartbeat: c.json: no JSON)",
        ),
        (
            "running",
            [
                at(
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
            [at("own", condition=Condition.STOPPED, pid=None, expected=False)],
            0,
            "",
            "ready; stopped: own",
        ),
        (
            "running",
            [at("worker-a")],
            0,
            "warren.ini:3: no",
            "ready: 1 worker; reload refused, the suite continues as before: warren.ini:3: no",
        ),
        (
            "starting",
            [at("worker-a"), at("beat", condition=Condition.NO_HEARTBEAT)],
            0,
            "",
            "starting: 1 worker; not ready: beat (no heartbeat yet)",
        ),
        ("reloading", [at("worker-a")], 0, "", "reloading: 1 worker"),
        (
            "stopping",
            [at("worker-a", condition=Condition.STOPPING), at("beat", state="STOPPED", pid=None)],
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
    assert all_ready([at("worker-a"), at("own", condition=Condition.STARTING, expected=False)])
    assert not all_ready([at("worker-a"), BACKING_OFF])
