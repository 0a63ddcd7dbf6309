"""`warren start`, `stop` and `restart`: the suite as a service of this host, with systemd and Monit in step."""

from __future__ import annotations

import getpass
import json
import os
import time
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from warren import heartbeat
from warren.config import load, short_host
from warren.config.values import nearest
from warren.errors import ConfigError, ExitCode, WarrenError
from warren.printable import one_line
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
    """Stop the suite, with Monit's knowledge.

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
    """Stop the suite and start it again, with Monit's knowledge.

    Checks the configuration first, and that the task modules can be imported: what is wrong leaves the suite running as it is.
    Needs root. An edit of the INI files needs no restart, a reload will do. With --rolling, all workers but one are at work
    at any moment, and neither systemd nor Monit has to know: for new code of tasks.

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
    console = Console(stderr=True)
    with console.status(f"{action} ...") as line:  # shown on a terminal only
        outcome = run(action, lambda: line.update(f"{action} ... {_doing(run_dir)}"))
    seconds = round(time.monotonic() - began, 1)
    late = _late(run_dir) if run_dir and not outcome.reason and action is not Action.STOP else ""
    if as_json:
        said = {"action": str(action), "done": not outcome.reason, "reason": outcome.reason or None, "not_ready": late or None}
        click.echo(json.dumps({**said, "notes": outcome.notes, "seconds": seconds}))
    else:
        for note in outcome.notes:
            click.echo(note, err=True)
        if outcome.reason:
            raise WarrenError(outcome.reason)
        click.echo(f"{_DONE[action]} in {seconds} s")
        if late:
            click.echo(f"not every program is ready, and they go on trying: {late}; see warren status", err=True)
    return ExitCode.FAILURE if outcome.reason else ExitCode.OK


def _roll(context: click.Context, names: tuple[str, ...], as_json: bool) -> int:
    from warren.supervise import rolling  # loads supervisor's client, which the other actions do without

    settings = load(**context.obj)
    known = {daemon.program.removeprefix("worker-"): daemon for daemon in rolling.workers(settings)}
    for name in names:
        if name not in known:
            raise click.UsageError(f"expected a worker of this host, found {name!r}; {nearest(name, known)}", context)
    _check(context, settings.app.run_dir)
    chosen = [daemon for name, daemon in known.items() if name in names or not names]
    began, done, failure = time.monotonic(), list[str](), None
    with Console(stderr=True).status("restart ...") as line:

        def heard(program: str) -> None:
            done.append(program)
            line.update(f"restart ... {len(done)} of {len(chosen)} workers")

        try:
            rolling.restart(settings, chosen, heard)
        except WarrenError as error:
            if not as_json:
                raise
            failure = error
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        said = {"action": "restart", "done": failure is None, "reason": str(failure) if failure else None}
        click.echo(json.dumps({**said, "restarted": done, "seconds": seconds}))
    else:
        click.echo(f"restarted {', '.join(done) or 'nothing'} in {seconds} s")
    return failure.exit_code if failure else ExitCode.OK


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


def _doing(run_dir: Path | None) -> str:
    """How many tasks each worker still runs, from its heart."""
    report = programs.read(run_dir) if run_dir else None
    names = [each["program"] for each in report.programs] if report else []
    beats = heartbeat.read(run_dir, names).beats if run_dir else {}
    found = {name: beat.evidence.get("running") for name, beat in beats.items() if beat.process.alive}
    counts = {name: count for name, count in found.items() if isinstance(count, int) and count > 0}
    return escape(", ".join(f"{one_line(name)}: {count} running" for name, count in counts.items()))
