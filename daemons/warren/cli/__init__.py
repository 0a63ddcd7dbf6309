"""The command `warren`: its global options, its verbs, and its exit code after a failure.

Modules that only a failure needs are imported at the failure, because monitors call `warren health`
again and again.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import click

from warren.config import DEFAULT_DIRECTORY
from warren.errors import ExitCode, WarrenError
from warren.system.printable import printable_lines

#: Each verb with the module and the name of its command. The module is imported when the verb is
#: called, so that no daemon loads what only another verb needs.
VERBS = {
    "start": "warren.cli.start_stop_restart:start",
    "stop": "warren.cli.start_stop_restart:stop",
    "restart": "warren.cli.start_stop_restart:restart",
    "supervise": "warren.cli.supervise_verb:supervise",
    "worker": "warren.cli.daemons:worker",
    "beat": "warren.cli.daemons:beat",
    "quota-watchdog": "warren.cli.daemons:quota_watchdog",
    "status": "warren.cli.status_verb:status",
    "health": "warren.cli.health_verb:health",
    "logs": "warren.cli.logs_verb:logs",
    "reload": "warren.cli.reload_verb:reload",
    "call": "warren.cli.call_verb:call",
    "watch": "warren.cli.watch_verb:watch",
    "check": "warren.cli.configuration:check",
    "show-config": "warren.cli.configuration:show_config",
}

_FULL = (errno.ENOSPC, errno.EDQUOT)


#: Options of every verb, which stand before the verb or behind it.
_GLOBAL = ("--config", "--host")


def _global_first(arguments: list[str]) -> list[str]:
    """Return the words with the global options before the verb, in their order.

    Nothing behind `--` moves. Raises UsageError for an option without its value. Pure.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    first: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments[:end])
    for argument in waiting:
        if argument in _GLOBAL:
            value = next(waiting, None)
            if value is None:
                raise click.UsageError(f"expected a value behind {argument}, found none")
            first += [argument, value]
        else:
            (first if argument.partition("=")[0] in _GLOBAL else rest).append(argument)
    return [*first, *rest, *arguments[end:]]


class Verbs(click.Group):
    """A group whose commands are imported one by one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words up to the verb, and the global options that stand behind it."""
        return super().parse_args(ctx, _global_first(args))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which an operator needs them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a verb; None for an unknown verb, which click then refuses."""
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb that the words begin with.

        Raises UsageError, with the most similar verb, when there is no such verb.
        """
        if args[0] not in VERBS and not args[0].startswith("-"):
            from warren.config.values import nearest

            raise click.UsageError(
                f"expected a verb, found {args[0]!r}; {nearest(args[0], VERBS)}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each verb with its whole first sentence, which click would cut at a line's end."""
        commands = [(verb, self.get_command(ctx, verb)) for verb in VERBS]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(verb, command.get_short_help_str(1000)) for verb, command in commands if command]
            )


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "directory",
    metavar="DIR",
    envvar="WARREN_CONFIG",
    default=DEFAULT_DIRECTORY,
    show_default=True,
    show_envvar=True,
    # The reader checks that the directory can be read, because the reader also says who may read
    # it.
    type=click.Path(path_type=Path, readable=False),
    help="Directory of warren.ini, conf.d/ and hosts/.",
)
@click.option(
    "--host",
    metavar="NAME",
    envvar="WARREN_HOST",
    show_envvar=True,
    help="Host whose hosts/NAME.ini counts; by default this host's short name.",
)
@click.version_option(package_name="warren", prog_name="warren")
@click.pass_context
def warren(context: click.Context, directory: Path, host: str | None) -> None:
    """Run a Celery processing queue in production: workers, beat and quota-watchdog.

    It is set up in INI files.

    Example: warren --config /etc/warren check
    """
    context.obj = {"directory": directory, "host": host}  # the arguments of config.load


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code, one of `errors.ExitCode`.

    Says on stderr why the command failed.
    """
    _open_streams()
    # This is a child of a command of root (cli/unprivileged_child.py), which shows the output on
    # root's terminal.
    if os.environ.pop("WARREN_TERMINAL", ""):
        sys.stdout.isatty = lambda: True  # type: ignore[method-assign]
    try:
        # Without click's standalone mode, which would end the process with 1 for every failure.
        code = warren.main(args=arguments, prog_name="warren", standalone_mode=False)
        sys.stdout.flush()  # at exit it would be too late to report that the disk is full
        return code if isinstance(code, int) else ExitCode.OK
    except WarrenError as error:
        _say(f"{error}\n")
        return error.exit_code
    except click.ClickException as error:
        _say_usage(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.FAILURE
    except BrokenPipeError:  # the reader of the output, such as head, has closed the pipe
        _drop_output()
        return ExitCode.FAILURE
    # An unforeseen error has its own exit code and is shown with its traceback.
    except Exception as error:  # noqa: BLE001
        if isinstance(error, OSError) and error.errno in _FULL:
            click.echo(f"no room to write: {error.strerror}", err=True)
            _drop_output()
            return ExitCode.CANTCREAT
        import traceback

        _say(traceback.format_exc())
        return ExitCode.SOFTWARE


def _open_streams() -> None:
    """Open those of the three standard streams that the caller has closed.

    Else the next file that is opened would get the stream's number, and output would be written to
    it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            with suppress(OSError):
                os.fstat(number)
                continue
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this stream's
            # The stream stays open as long as the process lives.
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115


def _say(text: str) -> None:
    # Imported here: monitors call `warren health` each cycle, which mostly has nothing to mask.
    from warren.redaction.masker import redact

    click.echo(printable_lines(redact(text)), err=True, nl=False)


def _say_usage(error: click.ClickException) -> None:
    """Print click's message of a usage error, without secrets that the command line may hold."""
    from io import StringIO

    said = StringIO()
    error.show(said)
    _say(said.getvalue())


def _drop_output() -> None:
    """Drop output that could not be written: Python would try again at exit and report an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
