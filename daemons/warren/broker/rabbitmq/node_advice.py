"""What is wrong with a RabbitMQ for this suite, and the remedy of each problem. Pure.

`refusal` returns why `warren broker init` may change nothing; `warnings` returns what an operator
should look at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from warren.broker.queue_names import beat_names
from warren.broker.rabbitmq.node_state import ALL, NodeState, Policy
from warren.config import Settings
from warren.config.queue_of_task import DEFAULT_QUEUE

#: Below this much free space RabbitMQ should stop taking messages: the messages that it has taken
#: soon fill a smaller space.
_FREE_DISK = 10**9
#: Below this limit RabbitMQ may drop a task before a worker has renewed it (worker/redelivery.py).
_RETURNS = 5
#: Workers keep messages that are due within a minute (worker/delayed_tasks.py).
_KEPT = 60.0
#: What a policy can set so that RabbitMQ drops tasks.
_DROPS = ("message-ttl", "expires", "max-length", "max-length-bytes")
#: Queues that Warren, or Celery for Warren, declares in addition to the queues of the settings.
_OWN = re.compile(r"warren\.|celery_delayed_\d|[0-9a-f]{8}-[0-9a-f-]{27}$")


def refusal(state: NodeState, vhost: str, settings: Settings) -> str:
    """Return why the suite could not work with this virtual host; empty if it can."""
    wanted = "classic" if settings.broker.queue_type == "classic" else "quorum"
    other = sorted(name for name in _names(settings) if state.queues.get(name, wanted) != wanted)
    if not other:
        return ""
    found = state.queues[other[0]]
    return (
        f"virtual host {vhost}: expected queues of type {wanted} ([broker] queue_type), found "
        f"{', '.join(other)} of type {found}; set queue_type = {found}, or give Warren a virtual "
        "host of its own (--vhost NAME), or see from-celery.md about existing queues"
    )


def warnings(state: NodeState, vhost: str, user: str, settings: Settings) -> list[str]:
    """Return what an operator should look at, each problem with its remedy."""
    return [
        *_alarms(state),
        *_disk(state),
        *_consumer_timeout(state, settings),
        *_policies(state.policies, _names(settings)),
        *_rights(state, vhost, user),
        *_foreign(state.queues, vhost, settings),
    ]


def _alarms(state: NodeState) -> Iterator[str]:
    for alarm in state.alarms:
        yield f"RabbitMQ has an alarm ({alarm}) and takes no messages; make room first"


def _disk(state: NodeState) -> Iterator[str]:
    if state.disk_free_limit < _FREE_DISK:
        yield (
            f"disk_free_limit is {state.disk_free_limit / 1e6:.0f} MB: the disk may be full before "
            f"RabbitMQ stops taking messages; write to {state.config_file}: "
            "disk_free_limit.absolute = 1GB, and for now: rabbitmqctl set_disk_free_limit 1GB"
        )


def _consumer_timeout(state: NodeState, settings: Settings) -> Iterator[str]:
    has = state.consumer_timeout
    if has is None:
        return
    workers = [worker for worker in settings.workers.values() if worker.enabled]
    write = f"write to {state.config_file}: consumer_timeout = "
    # A message that was fetched ahead stays unacknowledged while the messages before it run.
    needs = max((each.prefetch * each.time_limit for each in workers), default=0.0) + _KEPT
    if needs > has:
        yield (
            f"consumer_timeout is {has:g} s, and tasks may take {needs:g} s until they are "
            f"acknowledged: RabbitMQ would give the tasks to another worker meanwhile; {write}"
            f"{round(needs * 1000) + 60_000}, and restart RabbitMQ"
        )
    elif any(not each.time_limit for each in workers):
        yield (
            f"consumer_timeout is {has:g} s: RabbitMQ gives a task that takes longer to another "
            "worker as well; set time_limit of the workers below consumer_timeout, or for longer "
            "tasks "
            f"{write}86400000 (a day), and restart RabbitMQ"
        )


def _policies(policies: tuple[Policy, ...], names: set[str]) -> Iterator[str]:
    for policy in policies:
        if not any(_covers(policy.pattern, name) for name in names):
            continue
        limit = policy.definition.get("delivery-limit")
        if isinstance(limit, int) and 0 <= limit < _RETURNS:
            yield (
                f"policy {policy.name} ({policy.pattern}) sets delivery-limit {limit}: RabbitMQ "
                f"may drop tasks of killed workers; set {_RETURNS} or more"
            )
        drops = [name for name in _DROPS if name in policy.definition]
        if drops and policy.definition.get("overflow") != "reject-publish":
            yield (
                f"policy {policy.name} ({policy.pattern}) sets {', '.join(drops)}: RabbitMQ drops "
                "tasks without a report; change the pattern so that it does not match Warren's "
                "queues"
            )


def _rights(state: NodeState, vhost: str, user: str) -> Iterator[str]:
    tags = state.tags.get(user, ())
    if tags:
        yield (
            f"user {user} has the tags {', '.join(tags)}, which Warren does not need: rabbitmqctl "
            f"set_user_tags {user}"
        )
    others = sorted(set(state.permissions) - {vhost})
    if others:
        yield (
            f"user {user} has permissions on other virtual hosts: {', '.join(others)}; Warren "
            f"needs none: rabbitmqctl clear_permissions -p {others[0]} {user}"
        )


def _foreign(queues: Mapping[str, str], vhost: str, settings: Settings) -> Iterator[str]:
    own = {*_names(settings), *beat_names(settings.app.name)}
    names = sorted(name for name in queues if name not in own and not _OWN.match(name))
    if names:
        shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        yield (
            f"virtual host {vhost} has queues that these settings do not name: {shown}; if they "
            "are of another program, give Warren a virtual host of its own: --vhost NAME"
        )


def granted(state: NodeState, vhost: str) -> bool:
    """Return whether the user has all permissions on the virtual host."""
    return state.permissions.get(vhost) == ALL


def _names(settings: Settings) -> set[str]:
    """Return the names of the suite's queues."""
    consumed = (name for worker in settings.workers.values() for name in worker.queues)
    return {DEFAULT_QUEUE, *settings.queues, *consumed}


def _covers(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:  # Erlang knows patterns that Python does not
        return True
