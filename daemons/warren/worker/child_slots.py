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
            return  # Another task runs this one by `apply`. The slots belong to that other task.
        self._task_id, self._admitted = task.request.id, ""
        self._since = now()
        quotas = self.settings.quotas_of(task.name)
        if not quotas:
            return
        mine = False
        try:
            # The gate of this worker wrote the tickets. A governed task may have come another way,
            # or with damaged tickets. It ends below, like a task whose slot was released: no task
            # calls without slots.
            given = task.request.get(TICKETS)
            tickets = {name: [Ticket(*ticket) for ticket in given[name]] for name in quotas}
            mine = all(
                self.ledgers[name].claim(own, current_process()) for name, own in tickets.items()
            )
        except LEDGER_ERRORS as error:
            logger().error(Event.LEDGER_BUSY, reason=str(error), consequence="the task is requeued")
        finally:
            # The worker has released the slot, or the watchdog has reaped it as a dead worker's.
            # Another task may have it by now. A receiver of this signal cannot stop the task,
            # whatever it raises (a soft time limit, too). So end this process. The message then
            # goes back to the broker, as after any lost process.
            if not mine:
                os.kill(os.getpid(), signal.SIGKILL)
        client.held.set(tickets)
        self._admitted = task.name

    def enter(self, name: str) -> bool:
        """Return whether this call of a governed task's body is the admitted one.

        Each admission allows one such call.
        """
        mine, self._admitted = self._admitted == name, ""
        return mine

    def after(self, task_id: str | None = None, state: str | None = None, **_: Any) -> None:
        """Settle the slots that no `with quota(...).call()` has used.

        The task may have called without `quota`.
        """
        if task_id != self._task_id:
            # The task that ends was run by another task, by `apply`. That other task still needs
            # the slots.
            return
        tickets = client.held.get() or {}
        client.held.set(None)
        client.settle_cut_off()
        if tickets and has_descendants(self._since):
            # Processes that the task has left behind may still make the call. The worker settles
            # these slots when those processes have ended.
            return
        for name, own in tickets.items():
            try:
                self.ledgers[name].settle(own, answered=state == states.SUCCESS)
            except LEDGER_ERRORS as error:
                # The worker settles the slots that remain when it acknowledges the task.
                logger().warning(Event.LEDGER_BUSY, quota=name, reason=str(error))
