"""`warren check` and `warren show-config`: they check and show the INI files without any daemon."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from warren.cli.code_writers import writable_code
from warren.cli.import_notice import importing
from warren.cli.privileges import Verb
from warren.config import (
    Settings,
    attempt,
    check_directories,
    in_reading_order,
    load,
    memory_checks,
    short_host,
    suite_of_another,
)
from warren.config.advice import (
    foreign_apps,
    locks_without_a_store,
    misspelt_hosts,
    own_ways,
    silent_receivers,
)
from warren.config.path_checks import HIDDEN, in_a_home
from warren.config.rendering import entries
from warren.config.snapshot import source
from warren.control.service import hides_homes
from warren.errors import ConfigError, ExitCode, Problem
from warren.redaction.masker import redact_texts
from warren.system.printable import printable

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command(cls=Verb)
@_JSON
@click.pass_context
def check(context: click.Context, as_json: bool) -> int:
    """Check the configuration of this host, with its task modules and supervisord's own files.

    Prints every problem at once, each with its file and line, and ends with 78. Without a problem
    prints one line that says what was found, and ends with 0. A setting that is valid but probably
    a mistake is a warning on stderr, and not a problem: more processes than the host has memory
    for, a file in hosts/ that is almost named after this host, a Celery app that a task module
    makes, a `rate_limit` or `Request` that a task sets, a receiver of a signal that is never sent,
    a lock of a task (`unique`, `once`) on RabbitMQ without a Redis that hosts share, a quota that
    would admit no call for a while. Code that the suite's user or everybody may write to is a
    warning as well.

    Starts nothing and does not ask the broker. A user other than root and the suite's user cannot
    check write permissions: the command then says that it skips this check, and ends with the exit
    code of the other checks. For root the command checks as the suite's user, in a sandbox like the
    unit's, because root may read more than the suite.

    Example: warren check
    """
    settings, problems = attempt(**context.obj, source=source())
    if settings is not None:
        problems = in_reading_order([*problems, *_surroundings(settings, problems)], settings.files)
    warnings = _warnings(settings) if settings is not None else []
    for warning in warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    if settings is None or problems:
        if not as_json:
            raise ConfigError(problems)
        told = [redact_texts(_problem(each)) for each in problems]
        click.echo(
            json.dumps({"ok": False, **_location(context), "problems": told, "warnings": warnings})
        )
        return ExitCode.CONFIG
    _tell_valid(context, settings, warnings, as_json)
    return ExitCode.OK


def _tell_valid(
    context: click.Context, settings: Settings, warnings: list[str], as_json: bool
) -> None:
    """Print a summary of valid settings, their warnings, and the check that was skipped."""
    whole, own = _with_app(settings)
    counts = _counts(whole)
    if owner := suite_of_another(settings):
        click.echo(
            "not checked: whether the suite may write to its directories; to check that, run this "
            f"command as root or as {owner}",
            err=True,
        )
    if as_json:
        click.echo(
            json.dumps(
                {
                    "ok": True,
                    **_location(context),
                    **counts,
                    "beat_schedule": {name: _sections(whole)[f"schedule:{name}"] for name in own},
                    "problems": [],
                    "warnings": warnings,
                }
            )
        )
    else:
        said = ", ".join(
            f"{count} {word.removesuffix('s') if count == 1 else word}"
            for word, count in counts.items()
        )
        click.echo(f"configuration of host {settings.host} is fine: {said}")
        if own:
            click.echo(printable(f"from the app's beat_schedule: {', '.join(own)}"))


@click.command("show-config", cls=Verb)
@_JSON
@click.pass_context
def show_config(context: click.Context, as_json: bool) -> int:
    """Show the configuration of this host as merged from all its files, with every value's origin.

    Prints a line for each value, as an INI file would hold it. The section stands before the value,
    and the origin behind it. Passwords are masked.

    Example: warren --host laptop show-config | grep limit
    """
    settings = load(**context.obj)
    if as_json:
        click.echo(
            json.dumps(
                {
                    **_location(context),
                    "files": [str(file) for file in settings.files],
                    "sections": _sections(settings),
                }
            )
        )
        return ExitCode.OK
    for entry in entries(settings):
        origin = str(entry.origin).removeprefix(f"{settings.directory}/")
        # Not in columns, because one long value would make every line long. Each value is on one
        # line, so that grep finds it.
        line = f"[{entry.section}] {entry.option} = {entry.value}".rstrip()
        click.echo(f"{printable(line)}  {click.style(printable(f'; {origin}'), dim=True)}")
    if settings.app.celery:
        click.echo("the app's beat_schedule is shown by warren check --json", err=True)
    return ExitCode.OK


def _surroundings(settings: Settings, problems: Sequence[Problem]) -> Iterator[Problem]:
    """Yield the problems of directories, of supervisord's files and of task modules.

    problems: the problems of the settings themselves, which this function does not repeat.
    """
    # Loads supervisor, which show-config does not need.
    from warren.supervise.programs.supervisor_files import check_files

    wrong = {problem.option for problem in problems if problem.section == "app"}
    path = settings.app.path
    if (
        path is not None
        and "path" not in wrong
        and in_a_home(path)
        and hides_homes(settings.directory)
    ):
        expected, origin = "a directory that the suite can see", settings.origin("app", "path")
        yield Problem(origin, "app", "path", expected, f"{path} in a home directory", HIDDEN)
        wrong = {*wrong, "path"}
    if not suite_of_another(settings):
        yield from (
            problem for problem in check_directories(settings) if problem.option not in wrong
        )
    looks: list[Callable[[], None]] = [lambda: check_files(settings)]
    # A misspelt directory or module is reported once, with its INI line. Without it tasks are
    # missing too, and this is not reported for each of them.
    if not problems or ((settings.app.modules or settings.app.celery) and not wrong & {"", "path"}):
        looks.append(lambda: _import(settings))
    for look in looks:
        try:
            # A module may print text at its import, and that text is not output of this command.
            with redirect_stdout(sys.stderr):
                look()
        except ConfigError as error:
            yield from error.problems


def _import(settings: Settings) -> None:
    # Loads Celery, which show-config does not need.
    from warren.app.factory import import_tasks, make_app
    from warren.app.project_environment import set_variables

    set_variables(settings)
    with importing("check") as begins:
        import_tasks(make_app(settings, begins), settings, begins)


def _with_app(settings: Settings) -> tuple[Settings, list[str]]:
    """Return the settings with the entries of the project's app, and the names of those entries.

    The caller has imported the app.
    """
    if settings.app.celery is None:
        return settings, []
    from celery import current_app

    from warren.app.project_schedule import with_project_schedule

    whole, _ = with_project_schedule(settings, current_app._get_current_object())
    return whole, [name for name in whole.schedules if name not in settings.schedules]


def _warnings(settings: Settings) -> list[str]:
    """Return a warning for each setting that is valid but probably a mistake.

    The caller has imported every task module that can be imported.
    """
    from warren.app.project_app import overridden
    from warren.quotas.edit_cost import pauses

    crowded = memory_checks.warnings(settings, memory_checks.room())
    code = (
        *writable_code(settings),
        *overridden(),
        *foreign_apps(),
        *own_ways(),
        *silent_receivers(),
        *locks_without_a_store(settings),
    )
    return [*crowded, *misspelt_hosts(settings), *code, *pauses(settings)]


def _counts(settings: Settings) -> dict[str, int]:
    return {
        "files": len(settings.files),
        "modules": len(settings.app.modules),
        "workers": len([worker for worker in settings.workers.values() if worker.enabled]),
        "queues": len(settings.queues),
        "quotas": len(settings.quotas),
        "schedules": len([entry for entry in settings.schedules.values() if entry.enabled]),
    }


def _sections(settings: Settings) -> dict[str, dict[str, Any]]:
    sections: dict[str, dict[str, Any]] = {}
    for entry in entries(settings):
        origin = (
            None
            if entry.origin.file is None
            else {"file": str(entry.origin.file), "line": entry.origin.line}
        )
        sections.setdefault(entry.section, {})[entry.option] = {
            "value": entry.value,
            "origin": origin,
        }
    return sections


def _location(context: click.Context) -> dict[str, str]:
    directory: Path = context.obj["directory"]
    return {"directory": str(directory.absolute()), "host": context.obj["host"] or short_host()}


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "file": str(problem.origin.file) if problem.origin.file else None,
        "line": problem.origin.line,
        "section": problem.section,
        "option": problem.option,
        "expected": problem.expected,
        "found": problem.found,
        "remedy": problem.remedy,
        "text": str(problem),
    }
