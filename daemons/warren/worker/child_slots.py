"""The pool child's side of the gate.

The slots that admitted a task become the child's, and are settled when the task ends.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from celery import states

from warren.config import Settings
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.quotas import client
from warren.quotas.ledger import LEDGER_ERRORS
from warren.quotas.ledgers import Ledgers
from warren.quotas.ticket import Ticket
from warren.system.process import current_process
from warren.worker.message_copy import TICKETS
from warren.worker.task_processes import has_descendants, now


class ChildSlots:
    """Claims and settles slots around each task that a quota governs."""

    def __init__(self, settings: Settings, ledgers: Ledgers) -> None:
        self.settings = settings
        self.ledgers = ledgers
        self._task_id: str | None = None
        self._admitted = ""
        self._since = 0
        client.use(ledgers)

    def before(self, task: Any = None, **_: Any) -> None:
        """Take the slots over from the worker."""
        if task.request.is_eager:
            return  # Another task runs this one itself, with `apply`: the slots are that task's.
        self._task_id, self._admitted = task.request.id, ""
        self._since = now()
        quotas = self.settings.quotas_of(task.name)
        if not quotas:
            return
        mine = False
        try:
            # The gate of this worker wrote the tickets. A governed task that came another way, or
            # with tickets that are not whole, ends below like a task whose slot was released:
            # without slots no task calls.
            given = task.request.get(TICKETS)
            tickets = {name: [Ticket(*ticket) for ticket in given[name]] for name in quotas}
            mine = all(
                self.ledgers[name].claim(own, current_process()) for name, own in tickets.items()
            )
        except LEDGER_ERRORS as error:
            logger().error(Event.LEDGER_BUSY, reason=str(error), consequence="the task is requeued")
        finally:
            # The slot was released by the worker, or reaped as a dead worker's; another task may
            # have it by now. A receiver of this signal cannot stop the task, whatever it raises
            # (a soft time limit, too). Ending this process can, and the message goes back
            # to the broker as for any lost process.
            if not mine:
                os.kill(os.getpid(), signal.SIGKILL)
        client.held.set(tickets)
        self._admitted = task.name

    def enter(self, name: str) -> bool:
        """Return whether this call of a governed task's body is the admitted one.

        It is so once for each admission.
        """
        mine, self._admitted = self._admitted == name, ""
        return mine

    def after(self, task_id: str | None = None, state: str | None = None, **_: Any) -> None:
        """Settle the slots that no `with quota(...).call()` has used.

        The task may have called all the same.
        """
        if task_id != self._task_id:
            # This is the end of a task that this process's own task runs with `apply`: the slots
            # are still needed.
            return
        tickets = client.held.get() or {}
        client.held.set(None)
        client.settle_cut_off()
        if tickets and has_descendants(self._since):
            # Processes that the task has started and left behind may make the call yet. The worker
            # settles these slots when the processes have ended.
            return
        for name, own in tickets.items():
            try:
                self.ledgers[name].settle(own, answered=state == states.SUCCESS)
            except LEDGER_ERRORS as error:
                # The worker settles the slots that remain when it acknowledges the task.
                logger().warning(Event.LEDGER_BUSY, quota=name, reason=str(error))
