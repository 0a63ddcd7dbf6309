"""`warren start`, `stop` and `restart`: the suite as a service of systemd.

Monit is told of each change.
"""

from __future__ import annotations

import json
import os
import time

import click

from warren.cli import unprivileged_child
from warren.cli.privileges import Verb, owner_of
from warren.cli.progress_line import progress
from warren.cli.user import may_write_state
from warren.config import load
from warren.config.values import nearest
from warren.control.service import Action, is_active, run, status
from warren.errors import ExitCode, WarrenError
from warren.status.condition import Condition
from warren.system.printable import printable
from warren.system.users import own_name, user_of

_DONE = {Action.START: "started", Action.STOP: "stopped", Action.RESTART: "restarted"}

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a line.")


@click.command(cls=Verb)
@as_json
@click.pass_context
def start(context: click.Context, as_json: bool) -> int:
    """Start the suite as a service, and have Monit watch it.

    Checks the configuration first. Returns when every program is ready, or when start_timeout has
    passed. As after systemctl start, 0 means that the suite runs; programs that are not ready yet
    are named on stderr. A suite that already runs stays as it is. Needs root.

    Exit codes: 0 started, or the suite already runs, 1 not started, 69 this host is not run by
    systemd, 78 the configuration is wrong.

    Example: warren start
    """
    return _act(context, Action.START, as_json)


@click.command(cls=Verb)
@as_json
@click.pass_context
def stop(context: click.Context, as_json: bool) -> int:
    """Stop the suite, and tell Monit.

    Running tasks finish within their worker's stop_timeout. Tasks that are left over go back to the
    broker. Returns when all programs have ended. Needs root.

    Exit codes: 0 stopped, 1 not stopped, 69 this host is not run by systemd.

    Example: warren stop
    """
    return _act(context, Action.STOP, as_json)


@click.command(cls=Verb)
@click.argument("workers", nargs=-1, metavar="[WORKER]...")
@click.option(
    "--rolling",
    is_flag=True,
    help="Restart only the workers, all or the named ones, one after the other.",
)
@as_json
@click.pass_context
def restart(context: click.Context, workers: tuple[str, ...], rolling: bool, as_json: bool) -> int:
    """Stop the suite and start it again, and tell Monit.

    First checks the configuration, and that the task modules can be imported: after an error the
    suite keeps running as it is. Needs root. After an edit of the INI files a reload is enough.

    --rolling is for new code of tasks: at any moment all workers but one are at work. The suite
    itself does a rolling restart, without systemd and Monit. This command only watches: Ctrl-C ends
    the watching, and the restart continues.

    Exit codes: 0 restarted, 1 not restarted, 69 this host is not run by systemd or (--rolling) a
    worker did not come back, 78 the configuration is wrong.

    Example: warren restart --rolling
    """
    if rolling:
        return _roll(context, workers, as_json)
    if workers:
        raise click.UsageError(
            f"expected --rolling with the names of workers, found {' '.join(workers)} alone",
            context,
        )
    return _act(context, Action.RESTART, as_json)


def _act(context: click.Context, action: Action, as_json: bool) -> int:
    if os.geteuid() != 0:
        raise WarrenError(
            f"only root may {action} the suite, not {own_name()}; sudo warren {action}"
        )
    if action is not Action.STOP:  # a wrong configuration prevents a start, but never a stop
        _check(context)
    # When the suite runs, a start changes nothing for systemd, but Monit watches the suite again.
    runs = action is Action.START and is_active()
    began = time.monotonic()
    with progress(str(action)) as line:
        outcome = run(action, lambda: line.say(status() or "waiting for systemd"))
    seconds = round(time.monotonic() - began, 1)
    late = _late() if not outcome.reason and action is not Action.STOP else ""
    down = _down(context) if late else []
    if as_json:
        said = {
            "action": str(action),
            "done": not outcome.reason,
            "reason": outcome.reason or None,
            "not_ready": late or None,
        }
        already = {"already_running": runs} if action is Action.START else {}
        click.echo(
            json.dumps(
                {**said, **already, "down": down, "notes": outcome.notes, "seconds": seconds}
            )
        )
    else:
        for note in outcome.notes:
            click.echo(printable(note), err=True)
        if outcome.reason:
            raise WarrenError(outcome.reason)
        click.echo("the suite already runs" if runs else f"{_DONE[action]} in {seconds} s")
        if down:
            click.echo(
                f"not running: {printable(', '.join(down))}: {printable(late)}; correct what "
                "is wrong, then warren reload",
                err=True,
            )
        elif late:
            click.echo(
                f"not every program is ready; each of them tries again: {printable(late)}; see "
                "warren status",
                err=True,
            )
    return ExitCode.FAILURE if outcome.reason or down else ExitCode.OK


def _roll(context: click.Context, names: tuple[str, ...], as_json: bool) -> int:
    # Loads supervisor's client, which the other actions do not need.
    from warren.control import reload_request
    from warren.supervise.programs.render import workers

    settings = load(**context.obj)
    known = {daemon.program.removeprefix("worker-"): daemon.program for daemon in workers(settings)}
    for name in names:
        if name not in known:
            raise click.UsageError(
                f"expected a worker of this host, found {name!r}; {nearest(name, known)}", context
            )
    may_write_state(settings.app.state_dir)  # the owner of the state also owns the socket
    chosen = [program for name, program in known.items() if name in names or not names]
    began = time.monotonic()
    try:
        with progress("restart") as line:
            outcome = reload_request.restart(
                settings,
                chosen,
                lambda report: line.say(report.doing.progress if report.doing else "..."),
            )
    except KeyboardInterrupt:
        click.echo(
            "the restart continues in the suite, worker after worker; warren status shows it",
            err=True,
        )
        return ExitCode.FAILURE
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        said = {
            "action": "restart",
            "done": not outcome.problems,
            "reason": "; ".join(outcome.problems) or None,
        }
        click.echo(json.dumps({**said, "restarted": outcome.done, "seconds": seconds}))
        return outcome.code
    for problem in outcome.problems:
        click.echo(problem, err=True)
    click.echo(f"restarted {', '.join(outcome.done) or 'nothing'} in {seconds} s")
    return outcome.code


def _check(context: click.Context) -> None:
    """Check, as the suite's user, that the suite can start with these settings and task modules.

    Raises ConfigError.
    """
    from warren.supervise.reload.check import judge

    judge(*_ask(context, "check", "--json"))


def _ask(context: click.Context, *arguments: str, quiet: bool = False) -> tuple[int, bytes]:
    """Run another verb as the owner of the suite; return its exit code and its output."""
    owner = owner_of(context.obj["directory"], context.obj["host"])
    return unprivileged_child.said(user_of(owner), context.obj, arguments, quiet)


def _late() -> str:
    """Return the suite's status text for systemd; empty when every program is ready."""
    said = status()
    return "" if said.partition(":")[0] == "ready" else said


def _down(context: click.Context) -> list[str]:
    """Return the programs that do not run and are not started again.

    The suite's user reads the status.
    """
    _, said = _ask(context, "status", "--json", quiet=True)
    try:
        found = json.loads(said)["programs"]
        return [str(each["program"]) for each in found if Condition.of(str(each["condition"])).down]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []  # the suite was stopped meanwhile
