"""The stages of a message on its way into the pool, in their order.

1. well-formed: it did not end a worker before, and its fields are what they should be;
2. not in a flood: its queue is not one of which the worker just now rejects all;
3. redelivered: a message that RabbitMQ has returned too often is renewed;
4. repeated: a tick whose task has ended already is dropped;
5. due: a task that is due later goes back to the broker;
6. (Celery) known, and neither expired nor revoked: Celery makes a request of it (request.py);
7. quota: a task without slots goes back (gate.py);
8. quarantine: a suspect runs alone (quarantine.py);
9. run: a pool child gets it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from warren.worker.current_message import CurrentMessage
from warren.worker.delayed_tasks import DelayedTasks
from warren.worker.duplicate_ticks import DuplicateTicks
from warren.worker.gate import Gate
from warren.worker.message_checks import malformed
from warren.worker.quarantine import Quarantine
from warren.worker.redelivery import Redelivery
from warren.worker.rejection_flood import Flood


@dataclass(frozen=True)
class MessageStages:
    """The stages of one worker, except Celery's own."""

    current_message: CurrentMessage
    flood: Flood
    redelivery: Redelivery
    duplicate_ticks: DuplicateTicks
    delayed_tasks: DelayedTasks
    gate: Gate
    quarantine: Quarantine

    def refusal(self, message: Any) -> str:
        """Return why a message cannot be run; empty when it can be."""
        return self.current_message.refusal() or malformed(message)

    def diverts(self, message: Any) -> bool:
        """Return whether a stage has taken the message, so that Celery does not get it.

        The message itself can be run.
        """
        return (
            self.flood.good(message)
            or self.redelivery.renew(message)
            or self.duplicate_ticks.repeats(message)
            or self.delayed_tasks.postpone(message)
        )

    def admit(self, request: Any, run: Callable[[Any], None]) -> None:
        """Have `run` run the request of a task, now or later, if the request has the slots that it
        needs.
        """
        if self.gate.has_slots(request):
            self.quarantine.admit(request, run)
