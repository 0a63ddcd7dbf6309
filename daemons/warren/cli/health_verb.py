"""`warren health`: one line and an exit code for monitors. Only files are read."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from warren.cli.privileges import Verb, drop
from warren.config.paths import directories_of
from warren.errors import ConfigError, WarrenError
from warren.health.finding import CHECKS, Finding, Level
from warren.health.observation import look
from warren.health.report import judge, line, worst


@click.command(cls=Verb)
@click.argument("check", required=False, metavar="[CHECK]", type=click.Choice(CHECKS))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the line.")
@click.pass_context
def health(context: click.Context, check: str | None, as_json: bool) -> None:
    """Say in one line whether this host's suite is well, for Monit and other monitors.

    CHECK is one part of the suite: supervisord, worker, beat, quota-watchdog, broker, queues,
    quotas or disk. Without CHECK all parts are checked. Exit codes of this verb: 0 well, 1 warning,
    2 critical.

    Example: warren health queues
    """
    checks = [check] if check else CHECKS
    try:
        # Root's rights are given up in this process: a second process would double the cost, and
        # monitors call often. This is safe, because the code below runs only Warren's own code and
        # reads only regular files.
        drop(context.obj)
        places = directories_of(**context.obj)
        found = judge(look(places.run, (places.state, places.log)), checks)
    except ConfigError as error:
        found = [Finding(checks[0], Level.CRITICAL, str(error.problems[0]))]
    except WarrenError as error:
        found = [Finding(checks[0], Level.CRITICAL, str(error))]
    level = worst(found)
    if as_json:
        said = [{**asdict(finding), "level": finding.level.name.lower()} for finding in found]
        click.echo(json.dumps({"level": level.name.lower(), "findings": said}))
    else:
        click.echo(line(found))
    sys.exit(level)
