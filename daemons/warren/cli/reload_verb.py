"""`warren reload`: the running suite checks and applies new settings; the command waits for the
end.
"""

from __future__ import annotations

import json

import click

from warren.cli.privileges import Verb
from warren.cli.progress_line import progress
from warren.config import load
from warren.errors import ConfigError, ExitCode, WarrenError
from warren.redaction.masker import redact
from warren.system.printable import printable_lines


@click.command(cls=Verb)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def reload(context: click.Context, as_json: bool) -> int:
    """Have the running suite check and apply its new settings, and return when this is done.

    Only daemons that the edit concerns are touched, and workers change one at a time: running tasks
    finish within their worker's stop_timeout. Wrong settings change nothing; every problem is
    printed.

    Exit codes: 0 in force, and every daemon works. 1 in force, but a daemon is not ready. 69 no
    suite runs, or the suite was stopped meanwhile. 78 the settings are wrong. With --json also:
    outcome (applied, late, failed, refused, unavailable) and problems.

    Example: warren reload
    """
    from warren.cli.status_verb import broker_status_of
    from warren.control import reload_request  # imported here, because few verbs need it
    from warren.quotas.edit_cost import pauses

    try:
        # Problems that only an import shows are found by the suite itself: it checks the settings
        # in its own sandbox, as its own user.
        settings = load(**context.obj)
        for pause in pauses(settings):  # not in force yet: the operator can still stop here
            click.echo(f"warning: {pause}", err=True)
        with progress("reload") as line:
            outcome = reload_request.reload(
                settings,
                lambda report: line.say(report.doing.progress if report.doing else report.status),
            )
    except WarrenError as error:
        if not as_json and not isinstance(error, ConfigError):
            raise
        return _tell_error(error, as_json)
    if as_json:
        return _said(outcome.outcome, outcome.problems, outcome.code)
    for problem in outcome.problems:
        click.echo(printable_lines(problem), err=True)
    if outcome.code and (reason := (broker_status_of(settings) or {}).get("broker_error")):
        click.echo(printable_lines(redact(reason)), err=True)  # why a daemon cannot connect
    click.echo(_SENTENCES[outcome.outcome], err=bool(outcome.code))
    return outcome.code


_SENTENCES = {
    "applied": "the new settings are in force, and every daemon works",
    "late": "the new settings are in force, but not every daemon works",
    "failed": (
        "the new settings are in force only in part: correct what is wrong, then reload again"
    ),
    "refused": "the suite refused the new settings and continues with the old settings",
}


def _tell_error(error: WarrenError, as_json: bool) -> int:
    """Print why there is no reload, and return the exit code."""
    if as_json:
        outcome = "refused" if isinstance(error, ConfigError) else "unavailable"
        problems = [str(problem) for problem in getattr(error, "problems", (error,))]
        return _said(outcome, problems, error.exit_code)
    click.echo(printable_lines(redact(str(error))), err=True)
    continues = (
        "a suite that already runs continues with its old settings; correct the files, then "
        "reload again"
    )
    click.echo(continues, err=True)
    return error.exit_code


def _said(outcome: str, problems: list[str], code: int) -> int:
    click.echo(json.dumps({"ok": code == ExitCode.OK, "outcome": outcome, "problems": problems}))
    return code
