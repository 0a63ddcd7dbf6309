"""The options --detach, --stop and --user of all daemons' verbs, for hosts without systemd."""

from __future__ import annotations

import select
import signal
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from warren.cli.progress_line import progress
from warren.cli.user import not_root_for_another
from warren.config import Settings
from warren.errors import ExitCode, WarrenError
from warren.system.lock_holder import handle_of_holder

Verb = TypeVar("Verb", bound=Callable[..., Any])

#: Milliseconds between two updates of the progress line of --stop. The end of the daemon is noticed
#: at once.
_STEP_MS = 500


def background(verb: Verb) -> Verb:
    """Add the options to a verb.

    The verb gets `user`, and passes the other options to `Background.run`.
    """
    for option in (
        click.option(
            "--user",
            default="",
            metavar="NAME",
            help="As root: become this user, for good, before anything else.",
        ),
        click.option(
            "--stop", is_flag=True, help="Ask the running daemon to end, and wait for its end."
        ),
        # The daemon is already in the background: it has restarted itself with this option.
        click.option("--detached", is_flag=True, hidden=True),
        click.option(
            "--detach",
            is_flag=True,
            help="Go into the background; return when it is ready, or with its exit code.",
        ),
    ):
        verb = option(verb)
    return verb


@dataclass(frozen=True)
class Background:
    """What a verb runs, and which files it uses.

    verb: the words after `warren`. program: the name of the verb in file names. expected: the
    programs whose heartbeats make the verb ready. timeout: the seconds that the end may take.
    """

    settings: Settings
    verb: tuple[str, ...]
    program: str
    expected: Collection[str]
    timeout: float

    def run(
        self, start: Callable[[], ExitCode], *, detach: bool, detached: bool, stop: bool
    ) -> NoReturn:
        """Do what the options ask for, and exit.

        The exit code is that of --detach or --stop, else the code that `start` returns.
        """
        if detach and stop:
            raise click.UsageError("expected one of --detach and --stop, found both")
        if stop:
            click.echo(
                _stop(
                    self.settings.app.run_dir / f"{self.program}.lock", self.program, self.timeout
                )
            )
            sys.exit()
        not_root_for_another(self.settings.app.state_dir)
        if detach:
            # Imported here, because loading the module takes time.
            from warren.runtime.daemonize import into_background

            into_background(self.settings, self.program, self.expected)
        code = start()
        if code == ExitCode.RESTART and (detach or detached):
            from warren.runtime.daemonize import start_again

            start_again(self.settings, *self.verb, "--detached")
        sys.exit(code)


def _stop(lock: Path, program: str, timeout: float) -> str:
    """Send SIGTERM to the daemon, wait for its end, and return what to print. Raises WarrenError.

    The daemon is the process that holds the lock, whatever a pid file says.
    """
    try:
        pid, process = handle_of_holder(lock)
    except ProcessLookupError:
        return f"{program} has ended"
    except OSError as error:
        raise WarrenError(
            f"cannot ask who holds {lock}: {error.strerror}; run this command as the suite's user"
        ) from error
    if not pid:
        return f"{program} does not run"
    if process < 0:
        raise WarrenError(
            f"{lock} is held by a process of another container; stop the daemon in that container"
        )
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
    except PermissionError:
        raise WarrenError(
            f"cannot stop {program}, process {pid}: permission denied; run this command as the "
            "user of that process or as root"
        ) from None
    waiting = select.poll()
    waiting.register(process, select.POLLIN)
    end = time.monotonic() + timeout
    with progress("stop") as line:
        while not waiting.poll(_STEP_MS):
            if time.monotonic() > end:
                raise WarrenError(
                    f"{program}, process {pid}, did not end within {timeout:g} s; see its log"
                )
            line.say(
                f"{program}, process {pid}, lets running tasks finish, for {timeout:g} s at most"
            )
    return f"{program} has stopped"
