"""The command `warren`: its global options, its verbs, and its exit code after a failure.

Modules that only a failure needs are imported when a command fails: monitors call `warren health`
again and again, and the command must start fast.
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

#: Each verb, with the module and the name of its command. The verb of a group begins with the word
#: of the group. The module is imported when the verb is called, so that a daemon loads only what
#: its own verb needs.
VERBS = {
    "start": "warren.cli.start_stop_restart:start",
    "stop": "warren.cli.start_stop_restart:stop",
    "restart": "warren.cli.start_stop_restart:restart",
    "supervise": "warren.cli.supervise_verb:supervise",
    "worker": "warren.cli.daemon_verbs:worker",
    "beat": "warren.cli.daemon_verbs:beat",
    "quota-watchdog": "warren.cli.daemon_verbs:quota_watchdog",
    "web": "warren.cli.daemon_verbs:web",
    "status": "warren.cli.status_verb:status",
    "health": "warren.cli.health_verb:health",
    "logs": "warren.cli.logs_verb:logs",
    "reload": "warren.cli.reload_verb:reload",
    "call": "warren.cli.call_verb:call",
    "watch": "warren.cli.watch_verb:watch",
    "check": "warren.cli.check_show_config:check",
    "show-config": "warren.cli.check_show_config:show_config",
    "broker init": "warren.cli.broker_verb:init",
}

_FULL = (errno.ENOSPC, errno.EDQUOT)


#: The options of every verb. They stand before the verb or behind it.
_GLOBAL = ("--config", "--host")


def _global_first(arguments: list[str]) -> list[str]:
    """Return the words with the global options moved before the verb, in their order.

    Words behind `--` do not move. Raises UsageError for an option without its value. Pure.
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


def _command(verb: str) -> click.Command:
    module, _, attribute = VERBS[verb].partition(":")
    command: click.Command = getattr(import_module(module), attribute)
    return command


def _unknown(word: str, words: list[str], context: click.Context) -> click.UsageError:
    """Return the usage error for an unknown verb. The error names the most similar verb."""
    from warren.config.values import nearest

    return click.UsageError(f"expected a verb, found {word!r}; {nearest(word, words)}", context)


class WholeHelp(click.Group):
    """A group of verbs whose help shows the whole first sentence of each verb."""

    def verbs(self) -> list[str]:
        """Return the verbs of this group, as keys of VERBS."""
        return list(VERBS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each verb with its whole first sentence. click would cut the sentence at a line's
        end.
        """
        commands = [(verb, _command(verb)) for verb in self.verbs()]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(verb, command.get_short_help_str(1000)) for verb, command in commands]
            )


class VerbGroup(WholeHelp):
    """The verbs that begin with one word, such as `warren broker init`."""

    def verbs(self) -> list[str]:
        """Return the verbs of this group, as keys of VERBS."""
        return [verb for verb in VERBS if verb.startswith(f"{self.name} ")]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the second words of the verbs."""
        return [verb.partition(" ")[2] for verb in self.verbs()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a second word; None for an unknown word."""
        return _command(f"{self.name} {cmd_name}") if cmd_name in self.list_commands(ctx) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb that the words begin with. Raises UsageError for an unknown verb."""
        if args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            raise _unknown(args[0], self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)


class Verbs(WholeHelp):
    """A group whose commands are imported one by one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words up to the verb, and the global options that stand behind it."""
        return super().parse_args(ctx, _global_first(args))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the first words of the verbs in the order in which an operator needs them."""
        return list(dict.fromkeys(verb.partition(" ")[0] for verb in VERBS))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a first word; None for an unknown word.

        The command is a verb, or the group of the verbs that begin with this word.
        """
        if cmd_name in VERBS:
            return _command(cmd_name)
        if cmd_name not in self.list_commands(ctx):
            return None
        return VerbGroup(cmd_name, help=f"The verbs that begin with {cmd_name}.")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb that the words begin with.

        Raises UsageError when there is no such verb. The error names the most similar verb.
        """
        words = self.list_commands(ctx)
        if args[0] not in words and not args[0].startswith("-"):
            raise _unknown(args[0], words, ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "directory",
    metavar="DIR",
    envvar="WARREN_CONFIG",
    default=DEFAULT_DIRECTORY,
    show_default=True,
    show_envvar=True,
    # The reader checks whether the directory can be read, because the reader also says who may read
    # the directory.
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

    INI files hold all settings.

    Example: warren --config /etc/warren check
    """
    context.obj = {"directory": directory, "host": host}  # the arguments of config.load


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code, one of `errors.ExitCode`.

    Says on stderr why the command failed.
    """
    _open_streams()
    # This process is the child of a command of root (cli/unprivileged_child.py). Root's process
    # shows the child's output on root's terminal.
    if os.environ.pop("WARREN_TERMINAL", ""):
        sys.stdout.isatty = lambda: True  # type: ignore[method-assign]
    try:
        # Not in click's standalone mode, which would end the process with 1 after every failure.
        code = warren.main(args=arguments, prog_name="warren", standalone_mode=False)
        sys.stdout.flush()  # now: at exit it is too late to report that the disk is full
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
    """Open each of the three standard streams that the caller has closed.

    Otherwise the next file that is opened would get the number of the stream, and output would be
    written to that file.
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
    # Imported here: monitors call `warren health` each cycle, and mostly there is nothing to mask.
    from warren.redaction.masker import redact

    click.echo(printable_lines(redact(text)), err=True, nl=False)


def _say_usage(error: click.ClickException) -> None:
    """Print click's message of a usage error, without the secrets of the command line."""
    from io import StringIO

    said = StringIO()
    error.show(said)
    _say(said.getvalue())


def _drop_output() -> None:
    """Drop output that could not be written: at exit Python would try again and report an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
