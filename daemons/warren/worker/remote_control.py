"""Remote control (`celery inspect`, `celery control`): commands that a client may send to a worker.

Every client that may publish to the broker may send these commands. They are off unless
[worker:NAME] remote_control enables them. Even when they are enabled, no command ends a worker, or
gives it what its settings do not have. `cancel_consumer` makes the worker leave one of its queues
alone, and `add_consumer` makes it consume the queue again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import control
from celery.worker.control import control_command, nok, ok

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.runtime.cancelled_queues import CancelledQueues
from warren.worker.gate import Gate
from warren.worker.revokes import Revokes

#: Celery's commands that are refused, and how to do the same with Warren.
REFUSED = {
    "shutdown": "warren stop, on its host",
    "pool_restart": "warren restart --rolling, on its host",
    "pool_grow": "set [worker:NAME] concurrency",
    "pool_shrink": "set [worker:NAME] concurrency",
    "autoscale": "set [worker:NAME] concurrency",
    "rate_limit": "set [quota:NAME] limit",
    "time_limit": "set [worker:NAME] time_limit",
    "election": "nothing of Warren needs it",
}


def restrict(
    queues: Sequence[str], gate: Gate, cancelled: CancelledQueues, revokes: Revokes
) -> None:
    """Replace Celery's commands by Warren's, with the decorator that Celery documents for this.

    queues: the queues of the worker's settings, in their order. Cancelled queues and revoked tasks
    are written to files.
    """
    for name, instead in REFUSED.items():
        control_command(name=name, help=f"Refused: {instead}.")(_refusal(name, instead))
    named: dict[str, Any] = {"args": [("queue", str)], "signature": "<queue>"}
    leave, take = (
        partial(_answer, queues, act)
        for act in (partial(_leave, cancelled), partial(_take, gate, cancelled))
    )
    control_command(
        name="cancel_consumer", help="Leave one of the worker's queues alone.", **named
    )(leave)
    control_command(name="add_consumer", help="Consume one of the worker's queues again.", **named)(
        take
    )
    _note_revokes(revokes)


def _note_revokes(revokes: Revokes) -> None:
    ids: dict[str, Any] = {"variadic": "task_id", "signature": "[id1 [id2 [... [idN]]]]"}
    headers: dict[str, Any] = {
        "variadic": "headers",
        "signature": "[key1=value1 [key2=value2 [... [keyN=valueN]]]]",
    }

    @control_command(name="revoke", help="Revoke task by task id (or list of ids).", **ids)
    def revoke(state: Any, task_id: Any, **options: Any) -> Any:
        # The note comes first: if the worker ends after it, the revoke still holds.
        revokes.note(maybe_list(task_id) or ())
        return control.revoke(state, task_id, **options)

    @control_command(
        name="terminate",
        help="Terminate task by task id (or list of ids).",
        args=[("signal", str)],
        **ids | {"signature": f"<signal> {ids['signature']}"},
    )
    def terminate(state: Any, signal: Any, task_id: Any, **options: Any) -> Any:
        revokes.note(maybe_list(task_id) or ())
        return control.terminate(state, signal, task_id, **options)

    @control_command(
        name="revoke_by_stamped_headers",
        help="Revoke task by header (or list of headers).",
        **headers,
    )
    def revoke_by_stamped_headers(state: Any, headers: Any, **options: Any) -> Any:
        pairs = (
            headers
            if isinstance(headers, dict)
            else dict(each.split("=", 1) for each in headers if "=" in each)
        )
        revokes.note(stamps=pairs)
        return control.revoke_by_stamped_headers(state, headers, **options)


def _refusal(name: str, instead: str) -> Callable[..., Any]:
    def refused(state: Any, **_: Any) -> Any:
        return nok(f"{name} is refused: {instead}")

    return refused


def _answer(
    queues: Sequence[str], act: Callable[[Any, str], str], state: Any, queue: Any = None, **_: Any
) -> Any:
    if queue not in queues:
        return nok(
            f"expected a queue of this worker ({', '.join(queues)}), found {queue!a:.100}; set "
            "[worker:NAME] queues"
        )
    return ok(act(state.consumer, queue))


def _leave(cancelled: CancelledQueues, consumer: Any, queue: str) -> str:
    if queue not in consumer.withdrawn:
        logger().warning(Event.QUEUE_CANCELLED, queue=queue)
    consumer.withdrawn.add(queue)  # at once, so that the next client that asks gets this answer
    cancelled.write(consumer.withdrawn)
    consumer.call_soon(consumer.cancel_task_queue, queue)
    return f"no longer consuming from {queue}"


def _take(gate: Gate, cancelled: CancelledQueues, consumer: Any, queue: str) -> str:
    if queue in consumer.withdrawn:
        logger().info(Event.QUEUE_RESUMED, queue=queue)
    consumer.withdrawn.discard(queue)
    cancelled.write(consumer.withdrawn)
    # The gate resumes a queue that waits for its quota. A worker that ends resumes no queue.
    if queue not in gate.paused and not gate.closed:
        consumer.call_soon(consumer.add_task_queue, queue)
    return f"add consumer {queue}"
