"""What the worker does with slots, on real ledgers.

What its gate does with messages is shown by a real worker.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from celery.utils.objects import Bunch

from support.ledgers import NOBODY
from warren.config import Settings
from warren.quotas.ledger import Ledger
from warren.quotas.ledgers import Ledgers
from warren.quotas.ticket import Ticket
from warren.system.process import current_process
from warren.worker.admission import Admission
from warren.worker.message_copy import TICKETS
from warren.worker.task_processes import TaskProcesses


@pytest.fixture
def admission(loaded: Callable[[str], Settings], tmp_path: Path) -> Admission:
    """That of a worker with one quota, which waits for no lock."""
    settings = loaded(f"[app]\nstate_dir = {tmp_path}/state\n[quota:x]\nlimit = 4/h\n")
    Ledgers(settings).configure()
    return Admission(Ledgers(settings, 0.0), TaskProcesses())


def dropped(*tickets: Ticket) -> Bunch:
    """A request that was admitted with these slots and that no pool child has taken up."""
    return Bunch(
        request_dict={
            TICKETS: {"x": [[ticket.slot, ticket.serial] for ticket in tickets], "gone": [[0, 1]]}
        }
    )


def test_a_dropped_request_requeues_what_no_child_has_claimed(admission: Admission) -> None:
    """The slot of a request that no child has taken up is free again.

    A slot that a child claimed meanwhile is the child's.
    """
    ledger = admission.ledgers["x"]
    tickets = ledger.reserve(2, current_process()) or ()
    ledger.claim(tickets[1:], NOBODY)
    admission.drop(dropped(*tickets))
    assert (ledger.counts().free, ledger.counts().open) == (3, 1)


def test_what_a_busy_ledger_did_not_take(admission: Admission) -> None:
    """A slot whose ledger is locked is released later, at a step of the main loop."""
    ledger = admission.ledgers["x"]
    tickets = ledger.reserve(2, current_process()) or ()
    with Ledger(ledger.path)._file.locked():
        for ticket in tickets:
            admission.drop(dropped(ticket))
        admission.retry_pending()
    assert ledger.counts().open == 2
    admission.retry_pending()
    assert ledger.counts().free == 4
