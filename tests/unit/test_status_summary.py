"""The line of STATUS."""

from __future__ import annotations

from typing import Any

import pytest

from warren.supervise.status.summary import ProgramStatus, all_ready, summary


def at(program: str, **other: Any) -> ProgramStatus:
    fields: dict[str, Any] = {
        "state": "RUNNING",
        "pid": 7,
        "since": 1.0,
        "ready": True,
        "backing_off": False,
        "restarts": 0,
        "last_error": "",
    }
    return ProgramStatus(program, **{**fields, "heartbeat": "ready", **other})


BACKING_OFF = at(
    "worker-crawl",
    state="BACKOFF",
    pid=None,
    ready=False,
    backing_off=True,
    last_error="exit status 1",
    heartbeat="",
)
WATCHDOG, BEAT = at("quota-watchdog"), at("beat", heartbeat="standby")


@pytest.mark.parametrize(
    ("state", "program_statuses", "quotas", "refusal", "line"),
    [
        (
            "running",
            [WATCHDOG, at("worker-a"), at("worker-b"), BEAT],
            2,
            "",
            "ready: 2 workers, beat stands by, quota-watchdog, 2 quotas",
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
                at("worker-a", ready=False, heartbeat="connecting"),
                at("beat", ready=False, state="STARTING", heartbeat=""),
            ],
            0,
            "",
            "running; not ready: worker-a (connecting), beat (starting)",
        ),
        (
            # A heartbeat may be ready before supervisord says RUNNING, and the last word of one
            # that is silent.
            "running",
            [at("worker-a", ready=False, state="STARTING"), at("worker-b", ready=False)],
            0,
            "",
            "running; not ready: worker-a (starting), worker-b (silent)",
        ),
        (
            "running",
            [
                at(
                    "beat",
                    state="FATAL",
                    pid=None,
                    ready=False,
                    last_error="exit status 78 is final",
                    heartbeat="",
                )
            ],
            0,
            "",
            "running; ended: beat (exit status 78 is final)",
        ),
        (
            "running",
            [at("beat", state="STOPPED", ready=False, pid=None, expected=False)],
            0,
            "",
            "ready; stopped: beat",
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
            [at("worker-a"), at("beat", ready=False, heartbeat="")],
            0,
            "",
            "starting: 1 worker; not ready: beat (starting)",
        ),
        ("reloading", [at("worker-a")], 0, "", "reloading: 1 worker"),
        (
            "stopping",
            [at("worker-a", ready=False), at("beat", state="STOPPED", pid=None)],
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
    assert all_ready([at("worker-a"), at("own", ready=False, expected=False)])
    assert not all_ready([at("worker-a"), BACKING_OFF])
