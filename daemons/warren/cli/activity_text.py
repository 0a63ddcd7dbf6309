"""The current work of a program, in a few words for `warren status`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from warren.cli.program_rows import ProgramRow
from warren.health.finding import span
from warren.status.condition import Condition
from warren.status.status_file import now

#: Characters of a line: so many of 80 columns are left beside the program's name, state and process
#: number.
LINE = 43
#: The counts of a worker since its start, each with the word that is shown.
_COUNTS = (
    ("taken", "received"),
    ("begun", "started"),
    ("succeeded", "succeeded"),
    ("failed", "failed"),
)
#: The details that have their own lines, in words.
_TOLD = {
    "queues",
    "paused",
    "cancelled",
    "running",
    "concurrency",
    "leading",
    "entries",
    "reloads",
    "refused",
    "oldest",
    "busy_since",
}
_TOLD |= {name for name, _ in _COUNTS} | {"rejected", "storing_s"}


def state(program: ProgramRow) -> str:
    """Return the program's condition in a few words."""
    if program.condition == Condition.SILENT and program.heartbeat_age_s is not None:
        return f"{program.condition} for {span(program.heartbeat_age_s)}"
    return program.condition


def colour(program: ProgramRow) -> str:
    """Return the colour of the state.

    Green: the program works. Yellow: the state may pass. Red: an operator has to look.
    """
    if program.ready:
        return "green"
    return "yellow" if program.condition.passing else "red"


def work(program: ProgramRow) -> list[str]:
    """Return the work of the program as one line or a few."""
    said = program.details
    return [line for line in (*_worker(said), *_beat(said), *_others(said)) if line]


def _worker(said: dict[str, Any]) -> Iterator[str]:
    if "running" in said:
        of = f" of {said['concurrency']}" if "concurrency" in said else ""
        running = f"running {said['running']}{of}"
        counts = ", ".join(f"{word} {said[name]}" for name, word in _COUNTS if name in said)
        whole = f"{running}, {counts}" if counts else running
        yield from [whole] if len(whole) <= LINE else [running, counts]
    if said.get("oldest"):  # two lines, because an id alone fills a line
        oldest = said["oldest"][0]
        yield f"oldest task {oldest['task']}, for {span(max(0.0, now() - oldest['since']))}"
        yield str(oldest["id"])
    if said.get("queues"):
        yield named("queues:", said["queues"])
    if said.get("paused"):
        yield named("paused by a quota:", said["paused"])
    if said.get("cancelled"):
        yield named("cancelled by remote control:", said["cancelled"])
    if said.get("rejected"):
        yield f"messages rejected: {said['rejected']}"
    if said.get("storing_s"):
        yield f"cannot store results, for {span(said['storing_s'])}"


def _beat(said: dict[str, Any]) -> Iterator[str]:
    if "leading" in said:
        leading = "yes" if said["leading"] else "no"
        yield f"leading {leading}, schedule entries {said.get('entries', 0)}"


def _others(said: dict[str, Any]) -> Iterator[str]:
    """Yield, unchanged, the details that this version does not know."""
    for name, value in said.items():
        if name not in _TOLD and value not in (None, [], {}):
            yield named(f"{name}:", value) if isinstance(value, list) else f"{name} {value}"


def named(name: str, entries: list[Any]) -> str:
    """Return the entries that fit a line, with commas between.

    The text ends with the number of the entries that did not fit.
    """
    line = f"{name} "
    for number, entry in enumerate(map(str, entries)):
        longer = f"{line}{', ' if number else ''}{entry}"
        more = f", and {len(entries) - number} more"
        room = LINE if number == len(entries) - 1 else LINE - len(more)
        if number and len(longer) > room:
            return f"{line}{more}"
        line = longer
    return line
