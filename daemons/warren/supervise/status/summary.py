"""The status of the suite in one line, for STATUS of systemd. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from warren.status.condition import Condition
from warren.status.suite_report import ProgramStatus, all_ready

#: The conditions whose programs have a list of their own in the line.
_LISTED = (Condition.BACKING_OFF, Condition.ENDED, Condition.STOPPED)
#: The conditions for which the line shows the last error instead of the condition's name.
_WITH_ERROR = (Condition.RESTARTING, Condition.UNREADABLE)


def summary(
    state: str,
    program_statuses: Sequence[ProgramStatus],
    quotas: int,
    refusal: str = "",
    doing: str = "",
) -> str:
    """Return the line of STATUS.

    `state` is starting, running, reloading or stopping. `refusal` is the problem for which the
    latest reload was refused. `doing` is what the suite does beside its work.
    """
    expected = [status for status in program_statuses if status.expected]
    parts = [_state_text(state, expected)]
    lists = (
        ("not ready", [f"{each.program} ({_doing(each)})" for each in expected if _late(each)]),
        (
            Condition.BACKING_OFF,
            [
                f"{each.program} ({each.last_error}, tried each minute)"
                for each in expected
                if each.condition == Condition.BACKING_OFF
            ],
        ),
        (
            Condition.ENDED,
            [
                f"{each.program} ({each.last_error or each.state})"
                for each in expected
                if each.condition == Condition.ENDED
            ],
        ),
        ("warning", [f"{each.program} ({each.warning})" for each in expected if each.warning]),
        (
            Condition.STOPPED,
            [each.program for each in program_statuses if each.condition == Condition.STOPPED],
        ),
    )
    if state != "stopping":
        parts += [doing] if doing else []
        parts += [f"{heading}: {', '.join(names)}" for heading, names in lists if names]
    if refusal:
        parts.append(f"reload refused, the suite continues as before: {refusal}")
    at_work = _at_work(expected, quotas)
    return "; ".join(
        [f"{parts[0]}: {at_work}" if at_work and state != "stopping" else parts[0], *parts[1:]]
    )


def _state_text(state: str, expected: Sequence[ProgramStatus]) -> str:
    if state == "stopping":
        left = [status.program for status in expected if status.pid]
        return f"stopping: {', '.join(left)}" if left else "stopping"
    if state == "running":
        return "ready" if all_ready(expected) else "running"
    return state


def _at_work(expected: Sequence[ProgramStatus], quotas: int) -> str:
    ready = [status for status in expected if status.ready]
    workers = sum(status.program.startswith("worker-") for status in ready)
    parts = [_count(workers, "worker")] if workers else []
    parts += [
        "beat leads" if each.condition == Condition.READY else f"beat on {each.condition}"
        for each in ready
        if each.program == "beat"
    ]
    parts += [
        each.program
        for each in ready
        if each.program != "beat" and not each.program.startswith("worker-")
    ]
    return ", ".join([*parts, _count(quotas, "quota")] if quotas else parts)


def _late(status: ProgramStatus) -> bool:
    """Return whether a program is not ready and has no list of its own."""
    return not status.ready and status.condition not in _LISTED


def _doing(status: ProgramStatus) -> str:
    error = status.last_error if status.condition in _WITH_ERROR else ""
    return f"{status.condition}: {error}" if error else status.condition


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
