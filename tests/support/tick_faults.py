"""Beats of one fleet under faults, while many entries tick: what becomes of each tick.

Beats are killed and stopped, and their broker goes away.

Who counts is none of the beats: it takes the messages from the queue, and reads what the beats have
told as missed.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.outages import Outage
from support.suite import Suite, broker_section
from support.ticks import taken
from support.wait import end_of, let_pass, until
from warren.app.factory import make_app
from warren.beat.ticks import task_id
from warren.config import load

EVERY = 1.0
JOBS = "from celery import shared_task\n\n@shared_task(name='jobs.tick')\ndef tick():\n    pass\n"
#: Seconds that a leader is stopped for at most: supervise kills a daemon whose heartbeat is still
#: for 20 s.
LONGEST_STOP = 25.0
#: Seconds for a beat to lead, or for a broker to be back.
TIMEOUT = 600.0


@dataclass
class Outcome:
    """What a run came to. Each tick is one of an entry."""

    due: int
    sent: int
    told: int  # as missed, and not sent
    untold: int
    #: Told as missed for sure, and sent all the same.
    told_but_sent: int
    #: Told as missed and perhaps sent; these are.
    unsure_sent: int
    twice_under_one_id: int
    twice_under_two_ids: int
    #: Faults of leaders, and outages of the broker.
    killed: int
    stopped: int
    away: int
    leaders: int
    seconds: float


class Fleet:
    """Beats on some hosts, one leader among them.

    A beat that has ended is started again, as supervise would do.
    """

    def __init__(self, directory: Path, url: str, queues: str, entries: int, hosts: int) -> None:
        schedule = "".join(
            f"[schedule:s{number}]\ntask = jobs.tick\nevery = {EVERY:g}s\nmisfire = "
            f"{'skip' if number % 2 else 'run'}\n"
            for number in range(entries)
        )
        self.entries = [f"s{number}" for number in range(entries)]
        self.suites = []
        for number in range(hosts):
            (place := directory / f"host{number}").mkdir()
            broker = broker_section(place, url) if url else "[broker]\n"
            suite = Suite(place, f"{broker}queue_type = {queues}\n{schedule}", modules="jobs")
            suite.module("jobs", JOBS)
            self.suites.append(suite)
        self._beats: dict[int, ExitStack] = {}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Every beat, until the end of the block."""
        app: Any = make_app(load(self.suites[0].etc))
        with app.connection_for_write() as connection:
            app.conf.task_queues[0](connection.default_channel).declare()
        try:
            for host in range(len(self.suites)):
                self.start(host)
            yield
        finally:
            for stack in self._beats.values():
                stack.close()

    def start(self, host: int) -> None:
        """Starts the beat of this host, again."""
        if host in self._beats:
            self._beats[host].close()
        # of the dead one
        (self.suites[host].directory / "run" / "heartbeats" / "beat.json").unlink(missing_ok=True)
        self._beats[host] = ExitStack()
        self._processes[host] = self._beats[host].enter_context(self.suites[host].running("beat"))

    def signal(self, host: int, number: signal.Signals) -> None:
        """Sends it to the beat of this host."""
        self._processes[host].send_signal(number)
        if number == signal.SIGKILL:
            end_of(self._processes[host])

    def leader(self) -> int | None:
        """The host whose beat says that it leads; None while none does."""
        heartbeats = [
            (suite.heartbeat("beat") or {}, host) for host, suite in enumerate(self.suites)
        ]
        leading = [
            (heartbeat["at"], host)
            for heartbeat, host in heartbeats
            if (heartbeat.get("details") or {}).get("leading")
        ]
        return max(leading)[1] if leading else None

    def await_leader(self) -> int:
        """Returns the host of the leader when it has sent something since it was asked for."""
        before = time.time()
        return until(lambda: self._sending(before), TIMEOUT, "a leader that sends") - 1

    def _sending(self, since: float) -> int:
        host = self.leader()
        if host is None:
            return 0
        lines = self.suites[host].log("beat")
        return (
            host + 1
            if lines
            and any(line["event"] == "tick_sent" and line["tick"] > since for line in lines[-200:])
            else 0
        )

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Those of all beats."""
        return [line for suite in self.suites for line in suite.logged("beat", event)]


def run(
    fleet: Fleet,
    seconds: float,
    faults: int,
    outages: int,
    outage: Outage | None,
    seed: int = 1,
    longest: float = LONGEST_STOP,
) -> Outcome:
    """Does as many faults to leaders, and outages, in so many seconds or more; then counts.

    `longest` is that of a stop.
    """
    chance, begun = random.Random(seed), time.monotonic()
    kinds = [("kill", "stop")[number % 2] for number in range(faults)]
    for number in range(outages):
        kinds.insert((number + 1) * len(kinds) // (outages + 1), ("killed", "hanging")[number % 2])
    with fleet.running():
        fleet.await_leader()
        taken = min(fleet.lines("leader_taken"), key=lambda line: str(line["timestamp"]))
        for number, kind in enumerate(kinds):
            host = fleet.await_leader()
            let_pass(chance.random() * 2)
            if kind in ("kill", "stop"):
                _fault(fleet, host, kind, chance, longest)
            elif outage is not None:
                outage(chance.uniform(5, 20), kind)
            let_pass(begun + seconds * (number + 1) / len(kinds) - time.monotonic())
        last = time.time()
        until(
            lambda: all(tick > last for tick in _newest(fleet).values()),
            TIMEOUT,
            "a last tick of each entry",
        )
    counted = Counted(
        fleet,
        {name: round(tick / EVERY) for name, tick in taken["ticks"].items()},
        int(last / EVERY),
    )
    took = time.monotonic() - begun
    return counted.outcome(
        kinds.count("kill"),
        kinds.count("stop"),
        len(kinds) - faults,
        len(fleet.lines("leader_taken")),
        took,
    )


def _fault(fleet: Fleet, host: int, kind: str, chance: random.Random, longest: float) -> None:
    if kind == "stop":
        fleet.signal(host, signal.SIGSTOP)
        let_pass(chance.uniform(0.5, longest))
        if chance.random() < 0.5:
            fleet.signal(host, signal.SIGCONT)
            return
    fleet.signal(host, signal.SIGKILL)
    fleet.start(host)


def _newest(fleet: Fleet) -> dict[str, float]:
    found = dict.fromkeys(fleet.entries, 0.0)
    for line in fleet.lines("tick_sent"):
        found[line["entry"]] = max(found[line["entry"]], line["tick"])
    return found


class Counted:
    """The ticks of each entry behind `first` and up to `last`, by number: sent and told."""

    def __init__(self, fleet: Fleet, first: dict[str, int], last: int) -> None:
        self._app: Any = make_app(load(fleet.suites[0].etc))
        self.due = {
            (name, number) for name in fleet.entries for number in range(first[name] + 1, last + 1)
        }
        # Beyond `last` a beat may be cut off in the midst of its ticks: those count as nobody's.
        ids = {
            task_id(self._app.main, name, number * EVERY): (name, number)
            for name in fleet.entries
            for number in range(first[name] + 1, last + 600)
        }
        found = Counter(taken(self._app))
        self.foreign = sum(count for identity, count in found.items() if identity not in ids)
        self.sent = {ids[identity] for identity in found if identity in ids} & self.due
        self.again = sum(found[identity] - 1 for identity in found if ids.get(identity) in self.due)
        names = defaultdict(set)
        for line in fleet.lines("tick_sent"):
            names[line["entry"], round(line["tick"] / EVERY)].add(line["task_id"])
        self.renamed = sum(len(each) - 1 for each in names.values())
        self.gaps = fleet.lines("tick_missed")

    def outcome(
        self, killed: int, stopped: int, away: int, leaders: int, seconds: float
    ) -> Outcome:
        """The sums."""
        told: set[tuple[str, int]] = set()
        surely, unsure = 0, 0
        for line in self.gaps:
            after, newest = round(line["after"] / EVERY), round(line["tick"] / EVERY)
            gap = {(line["entry"], number) for number in range(after + 1, newest + 1)} & self.due
            there = len(gap & self.sent) - (newest - after - line["left_out"])
            unsure += min(max(there, 0), line["unsure"])
            surely += max(there - line["unsure"], 0)
            told |= gap
        told -= self.sent
        untold = len(self.due) - len(self.sent) - len(told)
        two = self.foreign + self.renamed
        return Outcome(
            len(self.due),
            len(self.sent),
            len(told),
            untold,
            surely,
            unsure,
            self.again,
            two,
            killed,
            stopped,
            away,
            leaders,
            seconds,
        )
