"""`warren supervise`: runs the whole suite of this host."""

from __future__ import annotations

import os

import click

from warren.cli.detach_options import Background, background
from warren.cli.privileges import Verb
from warren.cli.user import become
from warren.config import load
from warren.errors import ExitCode
from warren.supervise.programs.render import STOP_MARGIN, daemons
from warren.supervise.status import sd_notify


@click.command(cls=Verb)
@background
@click.pass_context
def supervise(context: click.Context, /, user: str, **how: bool) -> None:
    """Run every daemon of this host under supervisord.

    Runs in the foreground or, with --detach, in the background.

    SIGTERM: stop all daemons gracefully; running tasks finish within their worker's stop_timeout.
    SIGHUP: read the settings again; daemons that the edit does not concern continue. SIGUSR1: log
    the state of every program. SIGUSR2: reopen capture files.

    Exit codes: 0 stopped as asked, 73 a directory or file cannot be written, 75 asked to start
    again, 76 another supervisord has the run directory, 78 the configuration is wrong.

    Example: warren --config /etc/warren supervise
    """
    become(user)
    notifier = sd_notify.take(os.environ)
    with notifier.refusals():
        settings = load(**context.obj)
    programs = daemons(settings)
    # The daemons stop one after the other, but the workers at the same time. So the sum of the
    # times is less than twice the longest time.
    timeout = (
        2 * max((program.stop_wait for program in programs), default=STOP_MARGIN) + STOP_MARGIN
    )

    def start() -> ExitCode:
        from warren.supervise import daemon  # loads supervisor, which other verbs do not need

        with notifier.refusals():
            return daemon.start(settings, notifier)

    names = [program.program for program in programs]
    Background(settings, ("supervise",), "supervisord", names, timeout).run(start, **how)
