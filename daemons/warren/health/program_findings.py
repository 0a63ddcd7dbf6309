"""The checks of supervisord and its programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from warren.health.finding import Finding, Level, span
from warren.health.observation import SUPERVISORD, Evidence
from warren.status.heartbeat import AT_WORK, STALE

#: Seconds after which programs.json, which is written each second, is old.
OLD = 15.0
#: Seconds for which the start of a program, or its search for the broker, is only a warning.
PATIENCE = 60.0
_STOPPED = "the suite is not running; start it: warren start, or without systemd warren supervise"
_PASSING = ("STARTING", "STOPPING")


def supervisord(evidence: Evidence) -> Finding:
    """Return whether the suite runs and the loop of its supervisord works."""
    if reason := not_running(evidence):
        return Finding("supervisord", Level.CRITICAL, reason)
    state = _said(evidence)["state"]
    if state in ("starting", "stopping"):
        return Finding("supervisord", Level.WARNING, f"the suite is {state}")
    return Finding("supervisord", Level.OK, f"supervisord {state}")


def not_running(evidence: Evidence) -> str:
    """Return why the status of the programs is unknown; empty when supervisord reports it."""
    if evidence.programs.said is None:
        if evidence.programs.missing:
            return f"{_STOPPED}: {evidence.programs.trouble}"
        return f"nothing is known of the suite: {evidence.programs.trouble}"
    if not evidence.supervisor_alive:
        pid = _said(evidence)["pid"]
        return f"{_STOPPED}: supervisord, process {pid}, has ended"
    age = evidence.silent[SUPERVISORD]
    return f"supervisord hangs: it has said nothing for {span(age)}" if age > OLD else ""


def programs(evidence: Evidence, check: str) -> Iterator[Finding]:
    """Yield a finding for each program of a daemon that has a problem, else one for all of them."""
    if reason := not_running(evidence):
        yield Finding(check, Level.CRITICAL, reason)
        return
    mine = listed(evidence, check)
    found = [Finding(check, *_judge(evidence, program)) for program in mine]
    bad = [finding for finding in found if finding.level]
    yield from bad
    if not found:
        yield Finding(check, Level.OK, f"{check} is not enabled on this host")
    elif not bad:
        names = ", ".join(program["program"] for program in mine)
        yield Finding(check, Level.OK, f"{names} ready")


def listed(evidence: Evidence, check: str) -> list[dict[str, Any]]:
    """Return the entries of programs.json that belong to one daemon.

    worker-main and worker-crawl belong to `worker`.
    """
    known = _said(evidence)["programs"]
    return [program for program in known if _daemon(program["program"]) == check]


def _daemon(program: str) -> str:
    return "worker" if program.startswith("worker-") else program


def _said(evidence: Evidence) -> dict[str, Any]:
    return evidence.programs.said or {}


def _judge(evidence: Evidence, program: dict[str, Any]) -> tuple[Level, str]:
    name, state, reason = program["program"], program["state"], program.get("trouble") or ""
    because = f": {reason}" if reason else ""
    if program.get("held"):
        return Level.CRITICAL, f"{name} is held{because}"
    if state in _PASSING:
        return _passing(f"{name} is {state.lower()}", evidence.now - program["since"])
    if state != "RUNNING":
        return Level.CRITICAL, f"{name} is {state}{because}"
    return _by_heartbeat(evidence, program)


def _by_heartbeat(evidence: Evidence, program: dict[str, Any]) -> tuple[Level, str]:
    name, beat = program["program"], evidence.beats.get(program["program"])
    if beat is None and (reason := evidence.heart_troubles.get(name)):
        return Level.CRITICAL, f"{name} is unknown: {reason}"
    if beat is None or beat.process.pid != program["pid"]:  # none, or that of an earlier process
        return _passing(f"{name} has no heartbeat yet", evidence.now - program["since"])
    if name in evidence.ended:
        return Level.CRITICAL, f"{name}: its process {beat.process.pid} has ended"
    silent = evidence.silent[name]
    if silent > STALE:
        return Level.CRITICAL, f"{name} hangs: silent for {span(silent)}"
    if beat.state in AT_WORK and program.get("warning"):
        return Level.WARNING, f"{name} is {program['warning']}"
    if (waits := beat.evidence.get("storing_s") or 0) >= PATIENCE:
        remedy = "free space under the state folder, or have Redis take writes"
        return Level.WARNING, f"{name} cannot store results, for {span(waits)}: {remedy}"
    if beat.state in AT_WORK:
        return Level.OK, f"{name} {beat.state}"
    return _passing(f"{name} is {beat.state}", evidence.now - beat.since)


def _passing(text: str, seconds: float) -> tuple[Level, str]:
    """Return a warning for a state that passes by itself; critical when it lasts too long."""
    return (Level.WARNING if seconds < PATIENCE else Level.CRITICAL), f"{text}, for {span(max(0.0, seconds))}"
