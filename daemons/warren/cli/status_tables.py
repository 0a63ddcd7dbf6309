"""The tables of `warren status`, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from warren.cli.activity_text import colour, state, work
from warren.cli.program_rows import ProgramRow
from warren.health.broker_findings import tendency
from warren.health.finding import span
from warren.status.broker_report import QueueStatus
from warren.status.status_file import record
from warren.system.printable import one_line


def show(suite: dict[str, Any], running: Sequence[ProgramRow], said: dict[str, Any]) -> None:
    """Print the suite, the programs, and the status of broker, queues and quotas (`said`)."""
    console = Console(highlight=False)
    _suite(console, suite)
    _programs(console, running)
    if said["broker_error"]:
        console.print()
        console.print(_text(said["broker_error"], "red"))
    else:
        _queues(console, said["queues"], said["alarms"])
        _leftovers(console, said)
    if said["results_error"]:
        console.print(
            _text(f"the server of the results takes no results: {said['results_error']}", "red")
        )
    if said["quotas"]:
        _quotas(console, said["quotas"])


def _suite(console: Console, suite: dict[str, Any]) -> None:
    up = "" if suite["up_s"] is None else f", running for {span(suite['up_s'])}"
    console.print(_text(f"{suite['host']}: Warren {suite['version']}{up}", "bold"))
    if suite["status"]:
        console.print(
            _text(suite["status"], "green" if suite["status"].startswith("ready") else "yellow")
        )
    console.print()


def _programs(console: Console, running: Sequence[ProgramRow]) -> None:
    table = _table("program", "state", "pid", "work")
    for program in running:
        first, *more = work(program) or [""]
        pid = str(program.pid or "")
        table.add_row(
            _text(program.program), _text(state(program), colour(program)), pid, _text(first)
        )
        for line in more:
            table.add_row("", "", "", _text(line))
    console.print(table)
    for program in running:
        if program.warning:
            console.print(_text(f"{program.program} is {program.warning}", "yellow"))
        if program.last_error:  # on its own line, because in the table the text would wrap
            # The end of an earlier process, such as for new settings, is no alarm once the program
            # works.
            style = "dim" if program.ready else "red"
            console.print(
                _text(
                    f"{program.program}{' is backing off' if program.backing_off else ''}: "
                    f"{program.last_error}",
                    style,
                )
            )


def _queues(console: Console, queues: list[dict[str, Any]], alarms: list[str]) -> None:
    table = _table("queue", "messages", "trend")
    for queue in queues:
        depth = "-" if queue["messages"] is None else str(queue["messages"])
        table.add_row(_text(queue["queue"]), depth, _trend(queue))
    console.print()
    console.print(table)
    for alarm in alarms:
        console.print(_text(f"the broker takes no messages: {alarm}", "red"))


def _trend(queue: dict[str, Any]) -> str:
    """Return the trend of the number of messages; empty when only the broker itself was asked."""
    return tendency(record(QueueStatus, queue)) if "growth_per_s" in queue else ""


def _leftovers(console: Console, said: dict[str, Any]) -> None:
    """Print the messages that no worker takes now, and the messages that none will ever take."""
    if said["later"]:
        console.print(Text(f"due later: {_count(said['later'])}"))
    if said["returning"]:
        text = (
            f"returning: {_count(said['returning'])}, files of this host until RabbitMQ takes the "
            "messages"
        )
        console.print(Text(text, style="yellow"))
    for queue in said["queues"]:
        if queue.get("unconsumed"):
            console.print(
                Text(
                    f"{queue['queue']}: it holds messages, and no worker of the fleet takes "
                    "from it",
                    style="red",
                )
            )
    for name, messages in said["removed_queues"].items():
        console.print(
            Text(
                f"{name}: no section declares it any more, and it holds {_count(messages)}",
                style="yellow",
            )
        )
    if said["rejected"]:
        console.print(
            Text(f"rejected: {_count(said['rejected'])}, which nobody could run", style="yellow")
        )
    if said["rejected_keys"]:
        text = (
            f"rejected: {said['rejected_keys']} of Redis' keys held garbage, kept in "
            "warren.rejected.KEY"
        )
        console.print(Text(text, style="yellow"))


def _count(messages: int) -> str:
    return "1 message" if messages == 1 else f"{messages} messages"


def _quotas(console: Console, quotas: list[dict[str, Any]]) -> None:
    table = _table("quota", "limit", "free", "open", "cooling", "next free")
    errors = []
    for quota in quotas:
        name, limit = _text(quota["quota"]), _text(quota.get("limit", ""))
        if "error" in quota:
            table.add_row(name, limit, "-", "-", "-", "")
            errors.append(quota)
            continue
        free = "" if quota["next_free_s"] is None else f"{quota['next_free_s']:.1f} s"
        table.add_row(
            name, limit, str(quota["free"]), str(quota["open"]), str(quota["cooling"]), free
        )
    console.print()
    console.print(table)
    for quota in errors:
        console.print(_text(f"{quota['quota']}: {quota['error']}", "red"))


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _text(text: object, style: str = "") -> Text:
    """Return a text of any origin for the console.

    Brackets in it are not markup, and control characters are escaped.
    """
    return Text(one_line(text), style)
