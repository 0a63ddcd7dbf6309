"""Which entries of the schedule are due, whatever has happened to them."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from warren.beat import schedule as module
from warren.beat.last_ticks import KnownTicks
from warren.beat.schedule import Schedule
from warren.beat.ticks import next_tick
from warren.config import Settings, load

#: A moment at which an entry of any whole number of seconds below ten ticks.
START = 2520 * 700_000.0
#: A result backend whose results expire by themselves, so that no entry is added.
APP: Any = SimpleNamespace(backend=SimpleNamespace(supports_autoexpire=True))


def settings(directory: Path, every: dict[str, int]) -> Settings:
    """These entries, each with the seconds from one tick to the next."""
    sections = (
        f"[schedule:{name}]\ntask = t\nevery = {seconds}s\n" for name, seconds in every.items()
    )
    (directory / "warren.ini").write_text("".join(sections), encoding="utf-8")
    return load(directory, "host")


@pytest.mark.parametrize("seed", range(20))
def test_the_due_entries_are_those_of_a_search_through_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """After any history the due entries are those with a next tick up to now.

    The history has ticks, edits, new leaderships and clocks set back. The entry that has waited
    longest comes first, and the pause ends at the earliest next tick.
    """
    chance, now = random.Random(seed), [START]
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now[0]))
    every = {f"each{number}": chance.randint(1, 9) for number in range(12)}
    schedule = Schedule({})
    schedule.take_up(settings(tmp_path, every), APP)
    schedule.begin(KnownTicks())
    for _ in range(60):
        now[0] += chance.choice([0.0, 0.3, 1.0, 4.0, 4.0, -3.0, -3600.0])
        match chance.randrange(6):
            case 0:
                every[chance.choice(list(every))] = chance.randint(1, 9)
                every.pop(chance.choice(list(every)[1:]))
                every[f"new{chance.randrange(9)}"] = chance.randint(1, 9)
                schedule.take_up(settings(tmp_path, every), APP)
                schedule.begin(schedule.known)
            case 1:
                schedule.begin(KnownTicks({"each0": now[0] + chance.choice([-5, 5, 5000])}))
            case 2:
                schedule.pause(1.0)
        due = schedule.due_entries()
        following = {
            name: next_tick(entry, schedule.ticks[name], schedule._zone)
            for name, entry in schedule.entries.items()
        }
        assert due == sorted(
            (name for name, tick in following.items() if tick <= now[0]),
            key=lambda name: (following[name], name),
        )
        assert schedule.pause(1.0) == max(
            0.0, min([1.0, *(tick - now[0] for tick in following.values())])
        )
        for name in due[: chance.randint(0, len(due))]:
            for act in schedule.acts(name):
                schedule.note_handled(act, taken=chance.random() < 0.8)


def test_a_clock_that_was_set_back_is_noticed_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry whose last tick lies far ahead begins again at now, in a new round, and is due at
    its next tick; the others keep their ticks.
    """
    now = [START]
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now[0]))
    schedule = Schedule({})
    schedule.take_up(settings(tmp_path, {"ahead": 5, "other": 7}), APP)
    schedule.begin(KnownTicks({"ahead": START + 3600.0, "other": START}))
    assert schedule.due_entries() == []
    assert schedule.ticks == {"ahead": START, "other": START}
    assert schedule.known.rounds == {"ahead": 1}
    now[0] = START + 5
    assert schedule.due_entries() == ["ahead"]
