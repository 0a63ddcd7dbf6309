"""The verbs that run a daemon: `warren worker`, `beat`, `quota-watchdog` and `web`."""

from __future__ import annotations

from collections.abc import Callable

import click

from warren.cli.detach_options import Background, background
from warren.cli.privileges import Verb
from warren.cli.user import become
from warren.config import Settings, load
from warren.config.snapshot import source
from warren.errors import ExitCode, WarrenError
from warren.logs.events import Event
from warren.logs.setup import is_configured, logger
from warren.supervise.programs.render import STOP_MARGIN


def _told(start: Callable[[Settings], ExitCode], settings: Settings) -> ExitCode:
    """Run a daemon.

    When logging is configured already, an error that ends the daemon is also logged.
    """
    try:
        return start(settings)
    except WarrenError as error:
        if is_configured():
            logger().error(Event.REFUSED, reason=str(error), exit_code=int(error.exit_code))
        raise
    except Exception:
        logger().exception(Event.CRASHED, exit_code=int(ExitCode.SOFTWARE))
        raise


@click.command(cls=Verb)
@click.argument("name")
@background
@click.pass_context
def worker(context: click.Context, /, name: str, user: str, **how: bool) -> None:
    """Run the worker NAME of the settings, [worker:NAME].

    Runs in the foreground or, with --detach, in the background.

    SIGTERM: take no more messages, let running tasks finish within stop_timeout, requeue the rest.
    SIGHUP: read the settings again. SIGUSR1: log what the worker is doing.

    Example: warren worker crawl
    """
    become(user)
    settings = load(**context.obj, source=source())
    program = f"worker-{name}"

    def start(settings: Settings) -> ExitCode:
        from warren.worker import daemon

        return daemon.start(settings, name)

    timeout = settings.worker(name).stop_timeout + STOP_MARGIN
    Background(settings, ("worker", name), program, [program], timeout).run(
        lambda: _told(start, settings), **how
    )


@click.command(cls=Verb)
@background
@click.pass_context
def beat(context: click.Context, /, user: str, **how: bool) -> None:
    """Run beat, which sends the tasks of the schedule entries.

    Runs in the foreground or, with --detach, in the background.

    SIGTERM: stop. SIGHUP: read the settings again. SIGUSR1: log what beat is doing.

    Example: warren beat
    """
    become(user)
    settings = load(**context.obj, source=source())

    def start(settings: Settings) -> ExitCode:
        from warren.beat import daemon

        return daemon.start(settings)

    Background(settings, ("beat",), "beat", ["beat"], STOP_MARGIN).run(
        lambda: _told(start, settings), **how
    )


@click.command("quota-watchdog", cls=Verb)
@background
@click.pass_context
def quota_watchdog(context: click.Context, /, user: str, **how: bool) -> None:
    """Run the watchdog of this host's quotas.

    Runs in the foreground or, with --detach, in the background.

    SIGTERM: stop. SIGHUP: read the settings again. SIGUSR1: log what the watchdog is doing.

    Example: warren quota-watchdog
    """
    become(user)
    settings = load(**context.obj, source=source())

    def start(settings: Settings) -> ExitCode:
        from warren.watchdog import daemon as watchdog

        return watchdog.start(settings)

    Background(
        settings, ("quota-watchdog",), "quota-watchdog", ["quota-watchdog"], STOP_MARGIN
    ).run(lambda: _told(start, settings), **how)


@click.command(cls=Verb)
@background
@click.pass_context
def web(context: click.Context, /, user: str, **how: bool) -> None:
    """Run the HTTP entrance, by which programs and people send tasks and see their progress.

    It runs in the foreground or, with --detach, in the background.

    SIGTERM: stop. SIGHUP: read the settings again. SIGUSR1: log what it is doing.

    Example: warren web
    """
    become(user)
    settings = load(**context.obj, source=source())

    def start(settings: Settings) -> ExitCode:
        from warren.web import daemon

        return daemon.start(settings)

    Background(settings, ("web",), "web", ["web"], STOP_MARGIN).run(
        lambda: _told(start, settings), **how
    )
