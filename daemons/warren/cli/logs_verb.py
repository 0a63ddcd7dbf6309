"""`warren logs`: the log lines of all daemons in one stream, ordered by time."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import click

from warren.cli.privileges import Verb
from warren.config import Settings, load
from warren.config.paths import directories_of as named_directories
from warren.config.units import Unexpected, duration
from warren.errors import ConfigError
from warren.logs.formatter import LEVELS
from warren.logs.reading.line import fields_of, moment
from warren.logs.reading.merge import Timed
from warren.logs.reading.query import Reader
from warren.logs.reading.render_line import shown
from warren.logs.reading.selection import SHORT_ID, Selection
from warren.logs.reading.task_story import sentences
from warren.status import programs_file
from warren.supervise.programs.render import daemons
from warren.system.printable import printable

#: The daemons that log, each to its own file. The programs are these daemons and each worker.
DAEMONS = ("worker", "beat", "quota-watchdog", "web", "supervisord")
#: Seconds between two checks of --follow for new lines.
LOOK = 0.2
#: What --follow shows first when no other option limits the older lines: this many lines, from
#: files of at most this age (seconds). An operator who wants to see what happens now must not wait
#: until weeks of rotated files are read.
ABOVE, RECENT = 10, timedelta(hours=1)


class _Moment(click.ParamType[datetime]):
    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return a time with a zone. Fails with a usage error.

        A time without a zone is local. A duration counts back from now.
        """
        if isinstance(value, datetime):
            return value
        try:
            return datetime.now(UTC) - timedelta(seconds=duration(value))
        except Unexpected:
            pass
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                "expected a duration such as 10m, or a time such as 2026-01-31T10:00:00Z, "
                f"found {value!r}",
                param,
                ctx,
            )
        return found.astimezone()  # a time without a zone is local, like the times that are shown


class _TaskId(click.ParamType[str]):
    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return a task id or a long enough beginning of an id. Fails with a usage error."""
        if len(value) < SHORT_ID:
            self.fail(
                f"expected the id of a task, or at least its first {SHORT_ID} characters, "
                f"found {value!r}",
                param,
                ctx,
            )
        return str(value)


@click.command(cls=Verb)
@click.option(
    "--task", type=_TaskId(), metavar="ID", help="Lines of this task and of all that it started."
)
@click.option(
    "--daemon",
    metavar="NAME",
    help="Lines of this daemon or program: worker, worker-crawl, supervisord.",
)
@click.option(
    "--since",
    type=_Moment(),
    metavar="TIME",
    help="From this time on: 10m (ago), or 2026-01-31T10:00:00Z.",
)
@click.option("--until", type=_Moment(), metavar="TIME", help="Up to this time.")
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    metavar="LEVEL",
    help=f"Lowest level: {', '.join(LEVELS)}.",
)
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Only the last lines, this many.",
)
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Continue with what the daemons write from now on, until Ctrl-C.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="The lines as they were written, as in a pipe."
)
@click.option("--story", is_flag=True, help="The lines of --task in words, also in a pipe.")
@click.option(
    "--dir",
    "directories",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path, readable=False),
    help=(
        "Directory of logs instead of log_dir; several, such as copies from several hosts, are "
        "merged."
    ),
)
@click.pass_context
def logs(
    context: click.Context,
    task: str | None,
    daemon: str | None,
    since: datetime | None,
    until: datetime | None,
    level: str | None,
    lines: int | None,
    follow: bool,
    as_json: bool,
    story: bool,
    directories: tuple[Path, ...],
) -> None:
    """Show the logs of all daemons by time: current and rotated files, compressed ones too.

    On a terminal each line is formatted for people, with local times; in a pipe each line is the
    JSON that was written. With --task the lines tell in words what happened to the task, and to all
    tasks that it started. Text that a program prints without logging is not shown: PROGRAM.out in
    log_dir has that text.

    Example: warren logs --task 6f1c2a9e --since 1h
    """
    if story and not task:
        raise click.UsageError("--story: expected --task ID with --story, found no --task")
    bounds = (moment(each) if each else b"" for each in (since, until))
    asked = Selection(task or "", daemon or "", level or "", *bounds)
    searched = directories or _directories(context)
    told = sentences if task else partial(_line, with_host=len(searched) > 1)
    write = (
        _json if as_json or not (story or sys.stdout.isatty()) else partial(_for_people, told=told)
    )
    opened_since = since
    if lines is None and follow and since is None:
        lines, opened_since = ABOVE, datetime.now(UTC) - RECENT
    reader = Reader(searched, asked, opened_since.timestamp() if opened_since else 0.0)
    try:
        write(reader.there() if lines is None else reader.last(lines))
        # The name is checked only now: a program that no longer exists may still have lines.
        if daemon and not reader.found:
            _refuse_unknown(daemon, None if directories else _settings(context))
        while follow:
            time.sleep(LOOK)
            write(reader.more())
    except KeyboardInterrupt:
        if not follow:
            raise
    for problem in reader.errors_found():
        click.echo(printable(problem), err=True)
    if not follow and not reader.found and lines != 0:
        _tell_nothing_found(task, searched)


def _tell_nothing_found(task: str | None, searched: Sequence[Path]) -> None:
    where = ", ".join(map(str, searched))
    unknown = (
        f"nothing is known of task {task} in {where}: no worker of this host has begun the task, "
        "or its lines are gone"
    )
    click.echo(printable(unknown) if task else f"no matching lines in {where}", err=True)


def _directories(context: click.Context) -> tuple[Path, ...]:
    # Only the directory is read from the settings. A user who may read the logs, such as a member
    # of the group, may not read the secrets. And settings that are wrong are a reason to read the
    # logs.
    return (named_directories(context.obj["directory"].absolute(), context.obj["host"]).log,)


def _settings(context: click.Context) -> Settings | None:
    """Return the settings; None when they are wrong or this user may not read all files."""
    try:
        return load(**context.obj)
    except ConfigError:
        return None


def _refuse_unknown(name: str, settings: Settings | None) -> None:
    """Fail with a usage error for a name that no daemon or program has.

    Without settings the name of any worker is accepted.
    """
    known = list(DAEMONS)
    if settings is not None:
        report = programs_file.read(settings.app.run_dir).report
        known += [daemon.program for daemon in daemons(settings)]
        # includes the programs of supervisor.d
        known += [each.program for each in report.programs] if report else []
    known = list(dict.fromkeys(known))
    if name in known or (settings is None and name.startswith("worker-")):
        return
    close = get_close_matches(name, known, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    raise click.BadParameter(
        f"expected one of {', '.join(known)}, found {name!r}{meant}", param_hint="--daemon"
    )


def _json(lines: Iterable[Timed]) -> None:
    """Write the lines unchanged; on a terminal, with control characters as JSON escapes."""
    for _, raw in lines:
        if sys.stdout.isatty():
            text = raw.decode(errors="replace").rstrip("\n")
            click.echo(
                text
                if text.isprintable()
                else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
            )
        else:
            sys.stdout.buffer.write(raw)
    sys.stdout.flush()


def _for_people(
    lines: Iterable[Timed], told: Callable[[dict[str, Any], int], Iterable[str]]
) -> None:
    """Write each line as the text that `told` returns.

    told: gets the line's fields and the terminal's width (0 in a pipe).
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for _, raw in lines:
        try:
            texts = [*told(fields_of(raw), width)]
        except ValueError:  # half a line that happens to end like a whole line
            texts = [printable(raw.decode(errors="replace").rstrip())]
        for text in texts:
            click.echo(text)


def _line(fields: dict[str, Any], width: int, with_host: bool) -> list[str]:
    return [shown(fields, with_host, width)]
