"""The tables of `warren status`, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from warren.cli.programs import ProgramStatus
from warren.health.survey import tendency

#: Characters of a list in a table of 80 columns, beside the names of program and fact.
_LINE = 35


def show(running: Sequence[ProgramStatus], said: dict[str, Any]) -> None:
    """Prints the programs, then what is `said` of broker, queues and quotas."""
    console = Console()
    _programs(console, running)
    if said["broker_error"]:
        console.print(Text(said["broker_error"], style="red"))
    else:
        _queues(console, said["queues"], said["alarms"])
    if said["quotas"]:
        _quotas(console, said["quotas"])


def _programs(console: Console, running: Sequence[ProgramStatus]) -> None:
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
    for program in running:
        if program.trouble:  # beside the others it would wrap
            style = "dim" if program.ready else "red"  # how it ended last, such as for new settings, is no alarm once it works
            console.print(Text(f"{program.program}{' is held' if program.held else ''}: {program.trouble}", style=style))


def _queues(console: Console, queues: list[dict[str, Any]], alarms: list[str]) -> None:
    table = _table("queue", "messages", "goes")
    for queue in queues:
        depth = "-" if queue["messages"] is None else str(queue["messages"])
        table.add_row(queue["queue"], depth, tendency(queue) if "growth_per_s" in queue else "")
    console.print(table)
    for alarm in alarms:
        console.print(Text(f"the broker takes no messages: {alarm}", style="red"))


def _quotas(console: Console, quotas: list[dict[str, Any]]) -> None:
    table = _table("quota", "limit", "free", "open", "cooling", "next free")
    for quota in quotas:
        if "error" in quota:
            table.add_row(quota["quota"], quota.get("limit", ""), quota["error"])
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
