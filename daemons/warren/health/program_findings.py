"""The checks of supervisord and its programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from warren.health.finding import Finding, Level, span
from warren.health.observation import Snapshot
from warren.status.condition import Condition
from warren.status.suite_report import ProgramStatus, Reading

#: Seconds. A program may start, or search for the broker, for so long before that is critical.
TIMEOUT = 60.0
_STOPPED = "the suite is not running; start it: warren start, or without systemd warren supervise"


def supervisord(snapshot: Snapshot) -> Finding:
    """Return whether the suite runs and the loop of its supervisord works."""
    if reason := not_running(snapshot.programs):
        return Finding("supervisord", Level.CRITICAL, reason)
    report = snapshot.programs.known
    state = report.state if report else "unknown"
    if state in ("starting", "stopping"):
        return Finding("supervisord", Level.WARNING, f"the suite is {state}")
    return Finding("supervisord", Level.OK, f"supervisord {state}")


def not_running(reading: Reading) -> str:
    """Return why the status of the programs is unknown; empty when supervisord reports one."""
    if reading.report is None:
        if reading.missing:
            return f"{_STOPPED}: {reading.last_error}"
        return f"nothing is known of the suite: {reading.last_error}"
    if not reading.alive:
        return f"{_STOPPED}: supervisord, process {reading.report.process.pid}, has ended"
    if reading.old:
        return f"supervisord hangs: it has reported nothing for {span(reading.silence)}"
    return ""


def programs(snapshot: Snapshot, check: str) -> Iterator[Finding]:
    """Yield a finding for each program of a daemon that has a problem.

    Without a problem, yields one finding for all of these programs.
    """
    if reason := not_running(snapshot.programs):
        yield Finding(check, Level.CRITICAL, reason)
        return
    mine = listed(snapshot, check)
    found = [Finding(check, *_judge(snapshot, program)) for program in mine]
    bad = [finding for finding in found if finding.level]
    yield from bad
    if not found:
        yield Finding(check, Level.OK, f"{check} is not enabled on this host")
    elif not bad:
        yield Finding(check, Level.OK, _ready_text(mine))


def _ready_text(programs: list[ProgramStatus]) -> str:
    """Return the names of working programs, by their condition: `worker-a, worker-b ready`."""
    names: dict[Condition, list[str]] = {}
    for program in programs:
        names.setdefault(program.condition, []).append(program.program)
    return "; ".join(f"{', '.join(found)} {condition}" for condition, found in names.items())


def listed(snapshot: Snapshot, check: str) -> list[ProgramStatus]:
    """Return the programs that belong to one daemon.

    worker-main and worker-crawl belong to `worker`.
    """
    report = snapshot.programs.known
    return [each for each in (report.programs if report else ()) if _daemon(each.program) == check]


def _daemon(program: str) -> str:
    return "worker" if program.startswith("worker-") else program


def _judge(snapshot: Snapshot, program: ProgramStatus) -> tuple[Level, str]:
    """Return supervisord's judgement of a program, as a level and a text."""
    name, condition = program.program, program.condition
    seconds = max(0.0, snapshot.now - program.condition_since)
    if program.ready:
        return _warning(snapshot, program) or (Level.OK, f"{name} {condition}")
    text = f"{name} {condition.predicate}"
    if condition == Condition.SILENT:
        return Level.CRITICAL, f"{name} hangs: {condition} for {span(seconds)}"
    if condition.passing:
        # The condition passes by itself. It is critical when it lasts too long.
        level = Level.WARNING if seconds < TIMEOUT else Level.CRITICAL
        return level, f"{text}, for {span(seconds)}"
    return Level.CRITICAL, f"{text}: {program.last_error}" if program.last_error else text


def _warning(snapshot: Snapshot, program: ProgramStatus) -> tuple[Level, str] | None:
    """Return what is wrong with a program that works; None when nothing is wrong."""
    if program.warning:
        return Level.WARNING, f"{program.program} is {program.warning}"
    heartbeat = snapshot.heartbeats.get(program.program)
    if heartbeat is None or heartbeat.process.pid != program.pid:
        return None
    if (waits := heartbeat.details.get("storing_s") or 0) >= TIMEOUT:
        remedy = "free space under the state directory, or have Redis take writes"
        text = f"{program.program} cannot store results, for {span(waits)}: {remedy}"
        return Level.WARNING, text
    return None
