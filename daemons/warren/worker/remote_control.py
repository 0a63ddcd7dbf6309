"""Remote control (`celery inspect`, `celery control`): what a client of the broker may ask of a worker.

Whoever may publish to the broker may send its commands. They are off unless [worker:NAME]
remote_control asks for them; and then, too, none of them ends a worker or changes what it takes and how.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.worker.control import control_command, nok

#: Commands of Celery that are refused, and how it is done with Warren.
REFUSED = {
    "shutdown": "warren stop, on its host",
    "pool_restart": "warren restart --rolling, on its host",
    "pool_grow": "set [worker:NAME] concurrency",
    "pool_shrink": "set [worker:NAME] concurrency",
    "autoscale": "set [worker:NAME] concurrency",
    "add_consumer": "set [worker:NAME] queues",
    "cancel_consumer": "set [worker:NAME] queues",
    "rate_limit": "set [quota:NAME] limit",
    "time_limit": "set [worker:NAME] time_limit",
    "election": "nothing of Warren needs it",
}


def restrict() -> None:
    """Put a refusal in the place of each of those commands, by the decorator that Celery documents for commands."""
    for name, instead in REFUSED.items():
        control_command(name=name, help=f"Refused: {instead}.")(_refusal(name, instead))


def _refusal(name: str, instead: str) -> Callable[..., Any]:
    def refused(state: Any, **_: Any) -> Any:
        return nok(f"{name} is refused: {instead}")

    return refused
