"""`warren worker`, `warren beat`, `warren quota-watchdog`: the daemons, each in the foreground."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import click

from warren.config import load
from warren.errors import ExitCode, WarrenError
from warren.events import Event
from warren.log import get


def _run(start: Callable[[], ExitCode]) -> None:
    """Runs a daemon and ends with its exit code; what ended it is in its log too, where there is one by then."""
    try:
        sys.exit(start())
    except WarrenError as error:
        if logging.getLogger().handlers:
            get().error(Event.REFUSED, reason=str(error), exit_code=int(error.exit_code))
        raise
    except Exception:
        get().exception(Event.CRASHED, exit_code=int(ExitCode.SOFTWARE))
        raise


@click.command()
@click.argument("name")
@click.pass_context
def worker(context: click.Context, name: str) -> None:
    """Run the worker NAME of the settings, [worker:NAME], in the foreground.

    SIGTERM: take nothing more, let running tasks finish within stop_timeout, hand back the rest.
    SIGHUP: read the settings anew. SIGUSR1: log what it is doing.

    Example: warren worker crawl
    """
    from warren.worker import daemon

    _run(lambda: daemon.start(load(**context.obj), name))


@click.command()
@click.pass_context
def beat(context: click.Context) -> None:
    """Run beat, which sends the tasks of the schedule entries, in the foreground.

    SIGTERM: stop. SIGHUP: read the settings anew. SIGUSR1: log what it is doing.

    Example: warren beat
    """
    from warren.beat import daemon

    _run(lambda: daemon.start(load(**context.obj)))


@click.command("quota-watchdog")
@click.pass_context
def quota_watchdog(context: click.Context) -> None:
    """Run the watchdog of this host's quotas in the foreground.

    SIGTERM: stop. SIGHUP: read the settings anew. SIGUSR1: log what it is doing.

    Example: warren quota-watchdog
    """
    from warren.quota import watchdog

    _run(lambda: watchdog.start(load(**context.obj)))
