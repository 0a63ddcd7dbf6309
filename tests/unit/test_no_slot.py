"""No governed task runs without slots, whatever its message says: the two last places that ask."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery.app.task import Context
from celery.utils.objects import Bunch

from warren.config import Settings
from warren.quotas.ledgers import Ledgers
from warren.system.process import current_process
from warren.worker.admission import Admission
from warren.worker.child_slots import ChildSlots
from warren.worker.gate import Gate
from warren.worker.message_copy import TICKETS
from warren.worker.requeue import Requeuer
from warren.worker.task_processes import TaskProcesses

INI = (
    "[app]\nstate_dir = {state}\n[queue:calls]\ntasks = jobs.call\n[quota:x]\nlimit = 4/h\ntasks = "
    "jobs.call\n"
)


@pytest.fixture
def settings(loaded: Callable[[str], Settings], tmp_path: Path) -> Settings:
    """One governed task."""
    found = loaded(INI.format(state=tmp_path / "state"))
    Ledgers(found).configure()
    return found


class Request:
    """What the worker is about to hand to its pool."""

    def __init__(self, task: str, **headers: Any) -> None:
        self.id, self.task, self.request_dict = "1", Bunch(name=task), headers
        self.rejected: list[bool] = []

    def reject(self, requeue: bool = False) -> None:
        """Notes how it was answered."""
        self.rejected.append(requeue)


def test_the_last_step_before_the_pool_asks_for_slots(settings: Settings) -> None:
    """A governed request without tickets goes back to its queue.

    A request with tickets, or of another task, runs.
    """
    gate = Gate(settings, Admission(Ledgers(settings, 0.0), TaskProcesses()), Requeuer())
    bare, held, free = (
        Request("jobs.call"),
        Request("jobs.call", **{TICKETS: {}}),
        Request("jobs.add"),
    )
    assert [gate.has_slots(each) for each in (bare, held, free)] == [False, True, True]
    assert (bare.rejected, held.rejected, free.rejected) == ([True], [], [])


def ended(settings: Settings, request: Any) -> int:
    """How a pool child ends that begins a governed task with this request; 0 when it continues."""
    child = os.fork()
    if child == 0:
        ChildSlots(settings, Ledgers(settings)).before(
            task=Bunch(name="jobs.call", request=request)
        )
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(
    "given",
    [None, 5, {}, {"x": None}, {"x": [5]}, {"x": [[0, 1]]}, {"x": [[99, 1]]}, {"y": [[0, 1]]}],
)
def test_a_pool_child_without_slots_ends(settings: Settings, given: Any) -> None:
    """The task calls nothing, whatever stands in the place of its tickets.

    With a slot of the worker's it continues.
    """
    assert ended(settings, Context(id="1", is_eager=False, **{TICKETS: given})) == -signal.SIGKILL
    tickets = Ledgers(settings)["x"].reserve(1, current_process()) or ()
    mine = {"x": [[ticket.slot, ticket.serial] for ticket in tickets]}
    assert ended(settings, Context(id="1", is_eager=False, **{TICKETS: mine})) == 0
