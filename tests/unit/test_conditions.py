"""The judgements on a program, each from the one table of conditions."""

from __future__ import annotations

import pytest
from supervisor.states import RUNNING_STATES, ProcessStates, getProcessStateDescription

from warren.status.condition import Condition

#: For each state of supervisord: whether the program is down, and whether it has ended by itself.
JUDGED = {
    ProcessStates.STOPPED: (True, False),
    ProcessStates.STARTING: (False, False),
    ProcessStates.RUNNING: (False, False),
    ProcessStates.BACKOFF: (False, True),
    ProcessStates.STOPPING: (False, False),
    ProcessStates.EXITED: (True, True),
    ProcessStates.FATAL: (True, True),
    ProcessStates.UNKNOWN: (True, True),
}


@pytest.mark.parametrize("state", JUDGED)
def test_each_state_of_supervisord_has_a_condition(state: int) -> None:
    """A program that runs, or that supervisord starts again soon, is not down."""
    condition = Condition.of_process(str(getProcessStateDescription(state)))
    assert (condition.down, condition.failed) == JUDGED[state]
    assert not (condition.down and state in RUNNING_STATES)


@pytest.mark.parametrize("condition", Condition)
def test_only_five_conditions_come_from_a_heartbeat(condition: Condition) -> None:
    """A heartbeat cannot say that its program is silent, stopped or backing off."""
    own = {"starting", "connecting", "ready", "standby", "stopping"}
    expected = condition if condition in own else Condition.UNKNOWN
    assert Condition.of_heartbeat(str(condition)) == expected


def test_a_program_that_backs_off_has_failed_and_is_not_down() -> None:
    """It is tried again each minute, so no operator has to start it."""
    assert Condition.BACKING_OFF.failed
    assert not Condition.BACKING_OFF.down
    assert not any(each.ready and (each.down or each.failed) for each in Condition)
