"""`warren status`: every program of this host with its heart, the queues, the quotas."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from warren import heartbeat
from warren.app import make_app
from warren.broker.depth import depths
from warren.cli.call import told
from warren.config import Settings, load
from warren.config.masking import masked_url
from warren.errors import ConfigError, ExitCode, Unavailable
from warren.heartbeat import STALE
from warren.quota.book import LEDGER_ERRORS, Book
from warren.quota.ledger import NS, LedgerBusy, now_ns
from warren.supervise.client import programs

#: Characters of a list in a table of 80 columns, beside the names of program and fact.
_LINE = 35


@dataclass(frozen=True)
class ProgramStatus:
    """One program. `heart` is what its main loop says (see heartbeat.py); empty when it says nothing."""

    program: str
    state: str
    pid: int | None
    heart: str
    heart_age_s: float | None
    evidence: dict[str, Any]

    @property
    def ready(self) -> bool:
        """Whether it does its work now."""
        beating = self.heart_age_s is not None and self.heart_age_s < STALE
        return self.state == "RUNNING" and self.heart in ("ready", "standby") and beating


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show every program of this host with its heart, the queues and the quotas.

    Exit codes: 0 all programs are ready, 1 some are not, 69 the suite does not run or the broker does not answer.

    Example: warren status --json | jq .quotas
    """
    try:
        settings = load(**context.obj)
    except ConfigError as error:
        click.echo(masked_url(str(error)), err=True)
        click.echo("a suite that already runs goes on with its old settings; correct the files, then ask again", err=True)
        sys.exit(error.exit_code)
    running = program_status(settings)
    queues, trouble = _queues(settings)
    quotas = _quotas(settings)
    ready = bool(running) and all(program.ready for program in running)
    if as_json:
        said = {"ready": ready, "programs": [asdict(program) for program in running], "queues": queues, "quotas": quotas}
        click.echo(json.dumps({**said, "broker_error": trouble or None}))
    else:
        _print(running, queues, quotas, trouble)
    sys.exit(ExitCode.UNAVAILABLE if trouble else ExitCode.OK if ready else ExitCode.FAILURE)


def program_status(settings: Settings) -> list[ProgramStatus]:
    """What supervisord says of each program, beside what the program's own heart says. Raises Unavailable."""
    beats = heartbeat.read(settings.app.run_dir)
    found = []
    for program in programs(settings):
        beat = beats.get(program.program)
        if beat is not None and beat.process.pid != program.pid:
            beat = None  # the heart of an earlier process says nothing of this one
        found.append(
            ProgramStatus(
                program.program,
                program.state,
                program.pid,
                beat.state if beat else "",
                round(beat.age, 3) if beat else None,
                beat.evidence if beat else {},
            )
        )
    return found


def _queues(settings: Settings) -> tuple[list[dict[str, Any]], str]:
    try:
        app = make_app(settings)
        with told(app):
            found = depths(app, settings.queues)
    except Unavailable as error:
        return [], masked_url(str(error))
    return [{"queue": queue, "messages": messages} for queue, messages in found.items()], ""


def _quotas(settings: Settings) -> list[dict[str, Any]]:
    rows = []
    for name, ledger in Book(settings).items():
        row: dict[str, Any] = {"quota": name, "limit": str(settings.quotas[name].limit)}
        try:
            counts = ledger.counts()
        except (LedgerBusy, *LEDGER_ERRORS) as error:
            rows.append({**row, "error": str(error)})
            continue
        wait = None if counts.next_free is None else round(max(0.0, (counts.next_free - now_ns()) / NS), 3)
        next_free = 0.0 if counts.free else wait
        rows.append({**asdict(counts), **row, "used": counts.used, "next_free_s": next_free})
    return rows


def _print(running: list[ProgramStatus], queues: list[dict[str, Any]], quotas: list[dict[str, Any]], trouble: str) -> None:
    console = Console()
    table = _table("program", "state", "pid", "heart", "age")
    for program in running:
        colour = "green" if program.ready else "red"
        age = "" if program.heart_age_s is None else f"{program.heart_age_s:.1f} s"
        table.add_row(program.program, f"[{colour}]{program.state}[/]", str(program.pid or ""), program.heart, age)
    console.print(table)
    table = _table("program", "doing", "")  # a fact a line: side by side they would wrap
    for program in running:
        for number, fact in enumerate(_facts(program.evidence)):
            table.add_row("" if number else program.program, *fact)
    if table.row_count:
        console.print(table)
    table = _table("queue", "messages")
    for queue in queues:
        table.add_row(queue["queue"], "-" if queue["messages"] is None else str(queue["messages"]))
    console.print(Text(trouble) if trouble else table)
    if quotas:
        table = _table("quota", "limit", "free", "open", "cooling", "next free")
        for quota in quotas:
            if "error" in quota:
                table.add_row(quota["quota"], quota["limit"], quota["error"])
                continue
            free = "" if quota["next_free_s"] is None else f"{quota['next_free_s']:.1f} s"
            table.add_row(quota["quota"], quota["limit"], str(quota["free"]), str(quota["open"]), str(quota["cooling"]), free)
        console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _facts(evidence: dict[str, Any]) -> list[tuple[str, str]]:
    """What the heart says, name and value, each short enough for its line."""
    said = {key: value for key, value in evidence.items() if value not in (None, [], {})}
    return [(key, short(value) if isinstance(value, list) else str(value)) for key, value in said.items()]


def short(entries: list[Any]) -> str:
    """The entries with commas between them, as many as fit a line, and how many there are beyond."""
    line = ""
    for number, entry in enumerate(map(str, entries)):
        longer = f"{line}, {entry}" if line else entry
        if number and len(longer) > _LINE:
            return f"{line}, and {len(entries) - number} more"
        line = longer
    return line
