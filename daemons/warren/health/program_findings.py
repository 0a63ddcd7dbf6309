"""The checks of supervisord and its programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from warren.health.finding import Finding, Level, span
from warren.health.observation import SUPERVISORD, Snapshot
from warren.status.heartbeat import AT_WORK, STALE

#: Seconds after which programs.json, which is written each second, is old.
OLD = 15.0
#: Seconds for which the start of a program, or its search for the broker, is only a warning.
TIMEOUT = 60.0
_STOPPED = "the suite is not running; start it: warren start, or without systemd warren supervise"
_PASSING = ("STARTING", "STOPPING")


def supervisord(snapshot: Snapshot) -> Finding:
    """Return whether the suite runs and the loop of its supervisord works."""
    if reason := not_running(snapshot):
        return Finding("supervisord", Level.CRITICAL, reason)
    state = _said(snapshot)["state"]
    if state in ("starting", "stopping"):
        return Finding("supervisord", Level.WARNING, f"the suite is {state}")
    return Finding("supervisord", Level.OK, f"supervisord {state}")


def not_running(snapshot: Snapshot) -> str:
    """Return why the status of the programs is unknown; empty when supervisord reports it."""
    if snapshot.programs.said is None:
        if snapshot.programs.missing:
            return f"{_STOPPED}: {snapshot.programs.last_error}"
        return f"nothing is known of the suite: {snapshot.programs.last_error}"
    if not snapshot.supervisor_alive:
        pid = _said(snapshot)["pid"]
        return f"{_STOPPED}: supervisord, process {pid}, has ended"
    age = snapshot.silent[SUPERVISORD]
    return f"supervisord hangs: it has said nothing for {span(age)}" if age > OLD else ""


def programs(snapshot: Snapshot, check: str) -> Iterator[Finding]:
    """Yield a finding for each program of a daemon that has a problem, else one for all of them."""
    if reason := not_running(snapshot):
        yield Finding(check, Level.CRITICAL, reason)
        return
    mine = listed(snapshot, check)
    found = [Finding(check, *_judge(snapshot, program)) for program in mine]
    bad = [finding for finding in found if finding.level]
    yield from bad
    if not found:
        yield Finding(check, Level.OK, f"{check} is not enabled on this host")
    elif not bad:
        names = ", ".join(program["program"] for program in mine)
        yield Finding(check, Level.OK, f"{names} ready")


def listed(snapshot: Snapshot, check: str) -> list[dict[str, Any]]:
    """Return the entries of programs.json that belong to one daemon.

    worker-main and worker-crawl belong to `worker`.
    """
    known = _said(snapshot)["programs"]
    return [program for program in known if _daemon(program["program"]) == check]


def _daemon(program: str) -> str:
    return "worker" if program.startswith("worker-") else program


def _said(snapshot: Snapshot) -> dict[str, Any]:
    return snapshot.programs.said or {}


def _judge(snapshot: Snapshot, program: dict[str, Any]) -> tuple[Level, str]:
    name, state, reason = program["program"], program["state"], program.get("last_error") or ""
    because = f": {reason}" if reason else ""
    if program.get("backing_off"):
        return Level.CRITICAL, f"{name} is backing off{because}"
    if state in _PASSING:
        return _passing(f"{name} is {state.lower()}", snapshot.now - program["since"])
    if state != "RUNNING":
        return Level.CRITICAL, f"{name} is {state}{because}"
    return _by_heartbeat(snapshot, program)


def _by_heartbeat(snapshot: Snapshot, program: dict[str, Any]) -> tuple[Level, str]:
    name, heartbeat = program["program"], snapshot.heartbeats.get(program["program"])
    if heartbeat is None and (reason := snapshot.heartbeat_errors.get(name)):
        return Level.CRITICAL, f"{name} is unknown: {reason}"
    # none, or that of an earlier process
    if heartbeat is None or heartbeat.process.pid != program["pid"]:
        return _passing(f"{name} has no heartbeat yet", snapshot.now - program["since"])
    if name in snapshot.ended:
        return Level.CRITICAL, f"{name}: its process {heartbeat.process.pid} has ended"
    silent = snapshot.silent[name]
    if silent > STALE:
        return Level.CRITICAL, f"{name} hangs: silent for {span(silent)}"
    if heartbeat.state in AT_WORK and program.get("warning"):
        return Level.WARNING, f"{name} is {program['warning']}"
    if (waits := heartbeat.details.get("storing_s") or 0) >= TIMEOUT:
        remedy = "free space under the state directory, or have Redis take writes"
        return Level.WARNING, f"{name} cannot store results, for {span(waits)}: {remedy}"
    if heartbeat.state in AT_WORK:
        return Level.OK, f"{name} {heartbeat.state}"
    return _passing(f"{name} is {heartbeat.state}", snapshot.now - heartbeat.since)


def _passing(text: str, seconds: float) -> tuple[Level, str]:
    """Return a warning for a state that passes by itself; critical when it lasts too long."""
    return (
        Level.WARNING if seconds < TIMEOUT else Level.CRITICAL
    ), f"{text}, for {span(max(0.0, seconds))}"
