"""The status of each program, and the status of the suite in one line. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from warren.status.heartbeat import AT_WORK

#: supervisord's states of a program that has ended for good.
_GIVEN_UP = ("FATAL", "EXITED", "UNKNOWN")


@dataclass(frozen=True)
class ProgramStatus:
    """The status of one program, for programs.json and for STATUS.

    `state` is supervisord's state, `since` the second of CLOCK_BOOTTIME at which it began.
    `restarts` counts the starts after the first one. `last_error` says how the program ended last,
    or why it could not start; empty when there is nothing to say. `heartbeat` is the state in the
    program's own heartbeat. `expected` says whether the suite counts on the program: not on an
    operator's own programs, and not on programs that an operator stopped.
    """

    program: str
    state: str
    pid: int | None
    since: float
    ready: bool
    backing_off: bool
    restarts: int
    last_error: str
    heartbeat: str = ""
    expected: bool = True
    warning: str = ""


def all_ready(program_statuses: Sequence[ProgramStatus]) -> bool:
    """Return whether every program that is expected does its work."""
    return all(status.ready for status in program_statuses if status.expected)


def summary(
    state: str,
    program_statuses: Sequence[ProgramStatus],
    quotas: int,
    refusal: str = "",
    doing: str = "",
) -> str:
    """Return the line of STATUS.

    `state` is starting, running, reloading or stopping, `refusal` the problem of the latest reload,
    `doing` the activity beside the work.
    """
    expected = [status for status in program_statuses if status.expected]
    parts = [_state_text(state, expected)]
    late = [
        each
        for each in expected
        if not each.ready and not each.backing_off and each.state not in _GIVEN_UP
    ]
    lists = (
        ("not ready", [f"{each.program} ({_doing(each)})" for each in late]),
        (
            "backing off",
            [
                f"{each.program} ({each.last_error}, tried each minute)"
                for each in expected
                if each.backing_off
            ],
        ),
        (
            "ended",
            [
                f"{each.program} ({each.last_error or each.state})"
                for each in expected
                if _gave_up(each)
            ],
        ),
        ("warning", [f"{each.program} ({each.warning})" for each in expected if each.warning]),
        (
            "stopped",
            [
                each.program
                for each in program_statuses
                if not each.expected and each.state == "STOPPED"
            ],
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
        "beat leads" if each.heartbeat == "ready" else "beat stands by"
        for each in ready
        if each.program == "beat"
    ]
    parts += [
        each.program
        for each in ready
        if each.program != "beat" and not each.program.startswith("worker-")
    ]
    return ", ".join([*parts, _count(quotas, "quota")] if quotas else parts)


def _doing(status: ProgramStatus) -> str:
    if status.state in ("RUNNING", "STARTING"):
        if status.heartbeat in AT_WORK:  # "not ready: worker-a (ready)" would say nothing
            return "starting" if status.state == "STARTING" else "silent"
        return status.heartbeat or "starting"
    return status.last_error or status.state.lower()


def _gave_up(status: ProgramStatus) -> bool:
    return status.state in _GIVEN_UP and not status.backing_off


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def as_json(status: ProgramStatus) -> dict[str, Any]:
    """Return the status of a program as programs.json has it."""
    names = (
        "program",
        "state",
        "pid",
        "since",
        "ready",
        "backing_off",
        "restarts",
        "last_error",
        "warning",
    )
    return {name: getattr(status, name) for name in names}
