"""`warren worker`, `warren beat`, `warren quota-watchdog`: the daemons, each in the foreground."""

from __future__ import annotations

import sys

import click

from warren.config import load


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

    sys.exit(daemon.start(load(**context.obj), name))


@click.command()
@click.pass_context
def beat(context: click.Context) -> None:
    """Run beat, which sends the tasks of the schedule entries, in the foreground.

    SIGTERM: stop. SIGHUP: read the settings anew. SIGUSR1: log what it is doing.

    Example: warren beat
    """
    from warren.beat import daemon

    sys.exit(daemon.start(load(**context.obj)))


@click.command("quota-watchdog")
@click.pass_context
def quota_watchdog(context: click.Context) -> None:
    """Run the watchdog of this host's quotas in the foreground.

    SIGTERM: stop. SIGHUP: read the settings anew. SIGUSR1: log what it is doing.

    Example: warren quota-watchdog
    """
    from warren.quota import watchdog

    sys.exit(watchdog.start(load(**context.obj)))
