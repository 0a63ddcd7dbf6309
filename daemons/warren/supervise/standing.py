"""How each program stands, and the suite as a whole in one line. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from warren.heartbeat import AT_WORK

#: States of supervisord in which a program is not expected to run: an operator stopped it, or it ended for good.
_GIVEN_UP = ("FATAL", "EXITED", "UNKNOWN")


@dataclass(frozen=True)
class Standing:
    """One program, for programs.json and for STATUS.

    `state` is supervisord's word, `since` the second of CLOCK_BOOTTIME at which it began. `restarts` counts the starts after the
    first one. `trouble` says how it ended last, or why it could not start; empty when there is nothing to say. `heart` is what
    the program's own heart says, `expected` whether the suite counts on it (an operator's own programs, and those that an
    operator stopped, it does not).
    """

    program: str
    state: str
    pid: int | None
    since: float
    ready: bool
    held: bool
    restarts: int
    trouble: str
    heart: str = ""
    expected: bool = True
    warning: str = ""


def all_ready(standings: Sequence[Standing]) -> bool:
    """Whether everything that is expected does its work."""
    return all(standing.ready for standing in standings if standing.expected)


def summary(state: str, standings: Sequence[Standing], quotas: int, refusal: str = "", doing: str = "") -> str:
    """The line of STATUS. `state` is starting, running, reloading or stopping; `refusal` the problem of the latest reload;
    `doing` what goes on.
    """
    expected = [standing for standing in standings if standing.expected]
    parts = [_word(state, expected)]
    late = [each for each in expected if not each.ready and not each.held and each.state not in _GIVEN_UP]
    lists = (
        ("not ready", [f"{each.program} ({_doing(each)})" for each in late]),
        ("held", [f"{each.program} ({each.trouble}, tried each minute)" for each in expected if each.held]),
        ("ended", [f"{each.program} ({each.trouble or each.state})" for each in expected if _gave_up(each)]),
        ("warning", [f"{each.program} ({each.warning})" for each in expected if each.warning]),
        ("stopped", [each.program for each in standings if not each.expected and each.state == "STOPPED"]),
    )
    if state != "stopping":
        parts += [doing] if doing else []
        parts += [f"{word}: {', '.join(said)}" for word, said in lists if said]
    if refusal:
        parts.append(f"reload refused, the suite goes on as before: {refusal}")
    at_work = _at_work(expected, quotas)
    return "; ".join([f"{parts[0]}: {at_work}" if at_work and state != "stopping" else parts[0], *parts[1:]])


def _word(state: str, expected: Sequence[Standing]) -> str:
    if state == "stopping":
        left = [standing.program for standing in expected if standing.pid]
        return f"stopping: {', '.join(left)}" if left else "stopping"
    if state == "running":
        return "ready" if all_ready(expected) else "running"
    return state


def _at_work(expected: Sequence[Standing], quotas: int) -> str:
    ready = [standing for standing in expected if standing.ready]
    workers = sum(standing.program.startswith("worker-") for standing in ready)
    said = [_count(workers, "worker")] if workers else []
    said += ["beat leads" if each.heart == "ready" else "beat stands by" for each in ready if each.program == "beat"]
    said += [each.program for each in ready if each.program != "beat" and not each.program.startswith("worker-")]
    return ", ".join([*said, _count(quotas, "quota")] if quotas else said)


def _doing(standing: Standing) -> str:
    if standing.state in ("RUNNING", "STARTING"):
        if standing.heart in AT_WORK:  # "not ready: worker-a (ready)" would say nothing
            return "starting" if standing.state == "STARTING" else "silent"
        return standing.heart or "starting"
    return standing.trouble or standing.state.lower()


def _gave_up(standing: Standing) -> bool:
    return standing.state in _GIVEN_UP and not standing.held


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def as_json(standing: Standing) -> dict[str, Any]:
    """As programs.json has it."""
    names = ("program", "state", "pid", "since", "ready", "held", "restarts", "trouble", "warning")
    return {name: getattr(standing, name) for name in names}
