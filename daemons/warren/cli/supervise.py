"""`warren supervise`: the whole suite of this host, in the foreground."""

from __future__ import annotations

import click

from warren.config import load


@click.command()
@click.pass_context
def supervise(context: click.Context) -> int:
    """Run every daemon of this host under supervisord, in the foreground.

    SIGTERM: stop all in order; running tasks finish within their worker's stop_timeout. SIGHUP: read the settings anew;
    daemons that nothing changed for go on. SIGUSR1: log the state of every program. SIGUSR2: reopen capture files.

    Exit codes: 0 stopped as asked, 73 a folder or file cannot be written, 75 asked to start anew, 76 another supervisord
    has the run folder, 78 the configuration is wrong.

    Example: warren --config /etc/warren supervise
    """
    from warren.supervise import daemon  # loads supervisor, which other verbs do without

    return daemon.start(load(**context.obj))
