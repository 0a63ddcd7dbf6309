"""`warren broker init`: prepares the broker of this host for the suite."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from warren.broker.rabbitmq import broker_url, rabbitmqctl
from warren.broker.rabbitmq.broker_init import BrokerInit, Wanted
from warren.broker.rabbitmq.node_state import GUEST
from warren.broker.rabbitmq.undoable_steps import Outcome, Step
from warren.cli import trust
from warren.cli.privileges import Verb, owner_of
from warren.config import short_host
from warren.config.url_place import URLPlace, place_of
from warren.errors import ExitCode, WarrenError
from warren.system.printable import printable
from warren.system.process import hide_from_peers
from warren.system.users import User, acting_as, own_name, take_rights, user_name, user_of


def _name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    vhost = parameter.name == "vhost"
    if (vhost and value == "/") or (broker_url.NAME.fullmatch(value) and value != GUEST):
        return value
    raise click.BadParameter(
        f"expected a name of letters, digits, '.', '_' and '-', {'or /' if vhost else 'not guest'},"
        f" found {value!r}",
        context,
        parameter,
    )


# The name of a verb in a group is both words: cli/privileges.py decides by this name.
@click.command("broker init", cls=Verb)
@click.option(
    "--vhost", default="warren", show_default=True, callback=_name, help="The virtual host."
)
@click.option(
    "--user",
    "account",
    default="warren",
    show_default=True,
    callback=_name,
    help="The suite's user at RabbitMQ.",
)
@click.option("--keep-guest", is_flag=True, help="Do not delete the user guest.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.pass_context
def init(
    context: click.Context,
    vhost: str,
    account: str,
    keep_guest: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Set up the RabbitMQ of this host for the suite; for a Redis, report what is wrong.

    Type the command as root on the host of the broker. The command makes a virtual host, a user
    with a generated password, and permissions for this virtual host alone. It writes the URL to the
    file that [broker] url_file names (without this option: secrets/broker-url). It deletes the user
    guest. It warns of limits of RabbitMQ that lose or repeat tasks, with the remedies. The command
    may be repeated. When a step fails, everything that this run has made is undone.

    If the URL is of Redis, nothing is changed: the command looks at user, persistence and eviction.

    Exit codes: 0 done, or nothing was to do, 1 a step failed and was undone, or Redis needs a
    change, 69 there is no RabbitMQ on this host or it does not answer, 73 a file cannot be written,
    78 the configuration is wrong.

    Example: warren broker init --dry-run
    """
    directory: Path = context.obj["directory"].absolute()
    owner = _owner(directory, context.obj["host"])
    with acting_as(owner):
        place = place_of(directory, context.obj["host"])
    if place.url.lower().startswith("redis"):
        return _look_at_redis(place, owner, as_json)
    if os.geteuid() != 0:
        raise WarrenError(
            f"only root may tell RabbitMQ what to do, not {own_name()}; sudo warren broker init"
        )
    run = BrokerInit(
        rabbitmqctl.find(),
        owner,
        Wanted(vhost, account, keep_guest, dry_run),
        shown := Shown(as_json),
    )
    try:
        shown.warnings = run.run(place)
    except WarrenError as error:
        if not as_json:
            raise
        shown.end(place, str(error))
        return error.exit_code
    shown.end(place)
    return ExitCode.OK


class Shown:
    """The output of the command: one line for each step at once, or one JSON object at the end."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._steps: list[Step] = []
        self.warnings: list[str] = []

    def __call__(self, step: Step) -> None:
        """Show a step."""
        self._steps.append(step)
        if not self._as_json:
            click.echo(f"{step.outcome:<9}  {printable(step.text)}")

    def end(self, place: URLPlace, error: str = "") -> None:
        """Show the warnings, and what to do next."""
        undone = {step.name for step in self._steps if step.outcome is Outcome.UNDONE}
        done = {step.name for step in self._steps if step.outcome is Outcome.DONE}
        changed = bool(done - undone)
        if self._as_json:
            said = {
                "kind": "rabbitmq",
                "changed": changed,
                "url_file": str(place.file) if place.file else None,
                "steps": [
                    {"step": each.name, "outcome": str(each.outcome), "text": each.text}
                    for each in self._steps
                ],
                "warnings": self.warnings,
                "error": error or None,
            }
            click.echo(json.dumps(said))
            return
        for warning in self.warnings:
            click.echo(f"warning: {printable(warning)}", err=True)
        if changed:
            click.echo(
                f"next: warren reload; on each further host the URL of {place.file}, with the name "
                "of this host instead of 127.0.0.1"
            )


def _owner(directory: Path, host: str | None) -> User:
    """Return the suite's user.

    Raises WarrenError when another user may change the settings: root must not obey such settings.
    """
    if os.geteuid() != 0:
        return user_of(os.geteuid())
    if decider := trust.decider_of_settings(directory, host or short_host()):
        raise WarrenError(
            f"{directory}: user {user_name(decider)} may change these settings, so root changes "
            "nothing for them; give them to root, or set the broker up by hand (docs/rabbitmq.md)"
        )
    return user_of(owner_of(directory, host))


def _look_at_redis(place: URLPlace, owner: User, as_json: bool) -> int:
    from warren.broker.redis import redis_advice  # loads the client of Redis

    if os.geteuid() == 0 and owner.uid:
        take_rights(owner)
        hide_from_peers()
    state = redis_advice.look(place.url)
    found = list(redis_advice.advice(state))
    if as_json:
        click.echo(json.dumps({"kind": "redis", "changed": False, "warnings": found}))
    else:
        for line in found:
            click.echo(printable(line))
        if not found:
            click.echo(f"Redis {printable(state.version)} is as the suite needs it")
    return ExitCode.FAILURE if found else ExitCode.OK
