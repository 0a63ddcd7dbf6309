"""`warren start`, `stop` and `restart`: the suite as a service of this host, with systemd and Monit in step."""

from __future__ import annotations

import getpass
import json
import os
import time
from pathlib import Path

import click

from warren import heartbeat
from warren.cli.progress import progress
from warren.cli.user import become_owner
from warren.config import load, short_host
from warren.config.values import nearest
from warren.errors import ConfigError, ExitCode, WarrenError
from warren.printable import printable
from warren.service import Action, run
from warren.supervise import programs

_DONE = {Action.START: "started", Action.STOP: "stopped", Action.RESTART: "restarted"}

#: Seconds within which the suite publishes that it runs once systemd has heard so, and those between two looks.
_PUBLISHED, _LOOK = 5.0, 0.1

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a line.")


@click.command()
@as_json
@click.pass_context
def start(context: click.Context, as_json: bool) -> int:
    """Start the suite as a service, and have Monit watch it.

    Checks the configuration first. Returns when every program is ready, or start_timeout has passed: as after systemctl
    start, 0 means that the suite runs, and what is not ready yet is said on stderr. Needs root.

    Exit codes: 0 started, 1 not started, 69 this host is not run by systemd, 78 the configuration is wrong.

    Example: warren start
    """
    return _act(context, Action.START, as_json)


@click.command()
@as_json
@click.pass_context
def stop(context: click.Context, as_json: bool) -> int:
    """Stop the suite, and tell Monit.

    Running tasks finish within their worker's stop_timeout; the rest goes back to the broker. Returns when all has ended.
    Needs root.

    Exit codes: 0 stopped, 1 not stopped, 69 this host is not run by systemd.

    Example: warren stop
    """
    return _act(context, Action.STOP, as_json)


@click.command()
@click.argument("workers", nargs=-1, metavar="[WORKER]...")
@click.option("--rolling", is_flag=True, help="Restart the workers alone, or those that are named, one after the other.")
@as_json
@click.pass_context
def restart(context: click.Context, workers: tuple[str, ...], rolling: bool, as_json: bool) -> int:
    """Stop the suite and start it again, and tell Monit.

    Checks the configuration first, and that the task modules can be imported: what is wrong leaves the suite running as it is.
    Needs root. An edit of the INI files needs no restart, a reload will do. With --rolling, all workers but one are at work
    at any moment, and neither systemd nor Monit has to know: for new code of tasks. The suite does that itself; this command
    watches. Ctrl-C ends the watching, and the restart continues.

    Exit codes: 0 restarted, 1 not restarted, 69 this host is not run by systemd or (--rolling) a worker did not come back,
    78 the configuration is wrong.

    Example: warren restart --rolling
    """
    if rolling:
        return _roll(context, workers, as_json)
    if workers:
        raise click.UsageError(f"expected --rolling with the names of workers, found {' '.join(workers)} alone", context)
    return _act(context, Action.RESTART, as_json)


def _act(context: click.Context, action: Action, as_json: bool) -> int:
    if os.geteuid() != 0:
        raise WarrenError(f"user: expected root, found {getpass.getuser()}; sudo warren {action}")
    run_dir = _run_dir(context, action)
    if run_dir and action is Action.RESTART:
        _check(context, run_dir)
    began = time.monotonic()
    with progress(str(action)) as line:
        outcome = run(action, lambda: line.say(_doing(run_dir)))
    seconds = round(time.monotonic() - began, 1)
    late = _late(run_dir) if run_dir and not outcome.reason and action is not Action.STOP else ""
    down = _down(run_dir) if run_dir and late else []
    if as_json:
        said = {"action": str(action), "done": not outcome.reason, "reason": outcome.reason or None, "not_ready": late or None}
        click.echo(json.dumps({**said, "down": down, "notes": outcome.notes, "seconds": seconds}))
    else:
        for note in outcome.notes:
            click.echo(printable(note), err=True)
        if outcome.reason:
            raise WarrenError(outcome.reason)
        click.echo(f"{_DONE[action]} in {seconds} s")
        if down:
            click.echo(
                f"not running: {printable(', '.join(down))}: {printable(late)}; correct what is wrong, then warren reload",
                err=True,
            )
        elif late:
            click.echo(f"not every program is ready, and they go on trying: {printable(late)}; see warren status", err=True)
    return ExitCode.FAILURE if outcome.reason or down else ExitCode.OK


def _roll(context: click.Context, names: tuple[str, ...], as_json: bool) -> int:
    from warren.supervise import request  # loads supervisor's client, which the other actions do without
    from warren.supervise.render import workers

    settings = load(**context.obj)
    known = {daemon.program.removeprefix("worker-"): daemon.program for daemon in workers(settings)}
    for name in names:
        if name not in known:
            raise click.UsageError(f"expected a worker of this host, found {name!r}; {nearest(name, known)}", context)
    become_owner(settings.app.state_dir)  # whose socket it is: root has no business with what another user may have put there
    chosen = [program for name, program in known.items() if name in names or not names]
    began = time.monotonic()
    try:
        with progress("restart") as line:
            outcome = request.restart(settings, chosen, lambda report: line.say(report.doing.progress if report.doing else "..."))
    except KeyboardInterrupt:
        click.echo("the restart continues in the suite, worker after worker; warren status shows it", err=True)
        return ExitCode.FAILURE
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        said = {"action": "restart", "done": not outcome.problems, "reason": "; ".join(outcome.problems) or None}
        click.echo(json.dumps({**said, "restarted": outcome.done, "seconds": seconds}))
        return outcome.code
    for problem in outcome.problems:
        click.echo(problem, err=True)
    click.echo(f"restarted {', '.join(outcome.done) or 'nothing'} in {seconds} s")
    return outcome.code


def _check(context: click.Context, run_dir: Path) -> None:
    """Whether the suite at work could start again, task modules and all. Raises ConfigError."""
    from warren.supervise.check import check_as_suite

    check_as_suite(run_dir, context.obj["folder"].absolute(), context.obj["host"] or short_host())


def _run_dir(context: click.Context, action: Action) -> Path | None:
    """Where the hearts are. A configuration that is wrong stops whatever would start with it, and never a stop."""
    try:
        return load(**context.obj).app.run_dir
    except ConfigError:
        if action is Action.STOP:
            return None
        raise


def _late(run_dir: Path) -> str:
    """What the suite says of itself where it was started and not every program is ready; else nothing."""
    deadline = time.monotonic() + _PUBLISHED
    while (report := programs.read(run_dir)) is None or report.state != "running" or not report.process.alive:
        if time.monotonic() > deadline:
            return ""  # it was stopped meanwhile, or has another run folder
        time.sleep(_LOOK)
    return "" if report.status.partition(":")[0] == "ready" else report.status


def _down(run_dir: Path) -> list[str]:
    """The programs that do not run and are not tried again."""
    report = programs.read(run_dir)
    given_up = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")
    return [each["program"] for each in report.programs if each.get("state") in given_up] if report else []


def _doing(run_dir: Path | None) -> str:
    """What the suite says of itself, and how many tasks each worker still runs, from its heart."""
    report = programs.read(run_dir) if run_dir else None
    names = [each["program"] for each in report.programs] if report else []
    beats = heartbeat.read(run_dir, names).beats if run_dir else {}
    found = {name: beat.evidence.get("running") for name, beat in beats.items() if beat.process.alive}
    counts = {name: count for name, count in found.items() if isinstance(count, int) and count > 0}
    running = ", ".join(f"{name}: {count} running" for name, count in counts.items())
    status = report.status if report is not None and report.process.alive else ""
    return "; ".join(filter(None, (status, running))) or "waiting for systemd"
