"""The command `python -m warren.demo.quickstart`, which scripts/quickstart runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from warren.config.schema import BROKER_URL
from warren.config.secret_files import read_secret
from warren.config.units import Unexpected
from warren.demo.quickstart import display, figures, hidden_argument, keep, scratch
from warren.demo.quickstart.command_names import typed
from warren.demo.quickstart.figures import Figures
from warren.demo.quickstart.run import run
from warren.demo.quickstart.scratch import Scratch
from warren.errors import ExitCode, WarrenError

_DIRECTORY = click.Path(file_okay=False, path_type=Path)


def _url(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """Return the broker's URL. Fails with a usage error for any other text.

    This comes before the INI file is made, because the user has not typed that file and should not
    see an error in it.
    """
    try:
        BROKER_URL.read(text)
    except Unexpected as error:  # the error does not show the text, which may hold a password
        raise click.UsageError(f"--broker: {error}") from None
    return text or None


def _url_of_file(
    context: click.Context, parameter: click.Parameter, file: Path | None
) -> str | None:
    """Return the URL in the file, which is checked like that of `[broker] url_file`."""
    if file is None:
        return None
    try:
        text = sys.stdin.readline().strip() if str(file) == "-" else read_secret(file)
        BROKER_URL.read(text)
    except Unexpected as error:  # the error does not show the text
        raise click.UsageError(f"--broker-file {file}: {error}") from None
    return text


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--broker",
    metavar="URL",
    callback=_url,
    help=(
        "RabbitMQ (amqp://...) or Redis (redis://...) instead of the embedded one; a password in "
        "it may be seen by others."
    ),
)
@click.option(
    "--broker-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_url_of_file,
    help=(
        "The same URL in a file that only its owner may read (chmod 600), or - for one line of "
        "standard input."
    ),
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the figures alone, as one object in the last line.",
)
@click.option(
    "--keep",
    "kept",
    is_flag=True,
    help="Leave everything running; says how to look and how to stop.",
)
@click.option(
    "--documents",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="How many to collect.",
)
@click.option(
    "--directory",
    type=_DIRECTORY,
    help="An empty directory for settings, logs and state; by default one in /tmp.",
)
@click.option(
    "--stop",
    "home",
    type=_DIRECTORY,
    metavar="DIR",
    help="Stop the run that was kept in this directory.",
)
def quickstart(
    broker: str | None,
    broker_file: str | None,
    as_json: bool,
    kept: bool,
    documents: int,
    directory: Path | None,
    home: Path | None,
) -> None:
    """Run the whole suite for about a minute: collect documents from an API that allows 60 calls in
    10 s, with two workers, a batch, a schedule entry and a report; then say what happened.

    Exit codes: 0 all went as promised, 1 something did not (the last lines say what), 2 a wrong
    option, 69 the broker does not answer or refuses a request, 73 the directory cannot be written,
    78 the settings are wrong.
    """
    if broker and broker_file:
        raise click.UsageError("expected one of --broker and --broker-file, found both")
    try:
        if home:
            keep.stop(home)
            click.echo(f"stopped; the run's files are in {home}")
            return
        made = scratch.make(directory, broker or broker_file)
        found = _run_or_say_where(made, documents, display.Show(quiet=as_json), kept)
    except WarrenError as error:
        display.insist(str(error))
        sys.exit(error.exit_code)
    problems = figures.problems(found)
    for problem in problems:
        display.insist(problem)
    if as_json:
        click.echo(found.as_json())
    sys.exit(ExitCode.FAILURE if problems else ExitCode.OK)


def _run_or_say_where(made: Scratch, documents: int, shown: display.Show, kept: bool) -> Figures:
    try:
        return run(made, documents, shown, kept)
    except SystemExit:  # a signal has asked this process to end
        display.insist(
            f"stopped; the run's files are in {made.home}"
            if made.home.exists()
            else "stopped; nothing was started"
        )
        raise


if __name__ == "__main__":
    hidden_argument.hide_password(sys.argv[1:])
    quickstart(prog_name=typed(Path(sys.prefix))[0])
