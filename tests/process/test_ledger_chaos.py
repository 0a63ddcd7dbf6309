"""The chaos proof of the ledger: processes are killed and stopped while calls continue.

A provider counts the calls.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.figures import Figure
from support.provider import provider, seen
from support.wait import TIMEOUT, deadline, let_pass, until
from warren.quotas import client
from warren.quotas.client import NoAllowance, quota
from warren.quotas.layout import Slot
from warren.quotas.ledger import Ledger, LedgerBusy, now_ns
from warren.quotas.ledger_file import LedgerDamaged
from warren.quotas.slots import Slots
from warren.system.process import current_process, die_with_parent

LIMIT, WINDOW, LONGEST = 50, 1.0, 0.5
CALLERS, CHAOS = 6, 15.0
#: Calls that a run must have: under a third of those that its time allows.
ENOUGH = 225


def worst_window(stamps: list[float], length: float) -> int:
    """The most calls that lie in any window of this length (seconds)."""
    worst, first = 0, 0
    for last, stamp in enumerate(stamps):
        while stamp - stamps[first] >= length:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


# -- processes -------------------------------------------------------------------------------------


@dataclass
class Troop:
    """The processes under chaos. Each role is started again when its process was killed."""

    directory: Path
    seed: int
    roles: dict[str, Callable[[random.Random], None]]
    pids: dict[str, int] = field(default_factory=dict)
    births: int = 0
    kills: int = 0
    stops: int = 0

    def start(self, role: str) -> None:
        """Forks the process of `role`."""
        self.births += 1
        dice = random.Random(self.seed * 1000 + self.births)
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent(signal.SIGKILL)
                self.roles[role](dice)
            except BaseException:  # noqa: BLE001 - the test wants to see every kind
                (self.directory / f"error-{os.getpid()}").write_text(traceback.format_exc())
            finally:
                os._exit(0)
        self.pids[role] = pid

    def kill(self, role: str) -> None:
        """Ends the process of `role` for good."""
        pid = self.pids.pop(role, 0)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def chaos(self, dice: random.Random, seconds: float, enough: Callable[[], bool]) -> None:
        """Kills, stops and continues everybody at random, for so long and until it is enough."""
        end, stopped = time.monotonic() + seconds, dict[str, float]()
        for role in self.roles:
            self.start(role)
        while time.monotonic() < end or not enough():
            for role in [role for role, wake in stopped.items() if wake < time.monotonic()]:
                os.kill(self.pids[role], signal.SIGCONT)
                del stopped[role]
            for role in [role for role, pid in self.pids.items() if os.waitpid(pid, os.WNOHANG)[0]]:
                del self.pids[role]  # it has killed itself
                stopped.pop(role, None)
                self.start(role)
                self.kills += 1
            role = dice.choice(sorted(self.roles))
            if dice.random() < 0.6:
                self.kill(role)
                stopped.pop(role, None)
                self.start(role)
                self.kills += 1
            elif role not in stopped:
                os.kill(self.pids[role], signal.SIGSTOP)
                # Some for longer than anybody waits for the lock.
                stopped[role] = time.monotonic() + (
                    dice.uniform(2.0, 3.0) if dice.random() < 0.05 else dice.uniform(0.0, 0.3)
                )
                self.stops += 1
            let_pass(dice.uniform(0.0, 0.06))  # the pace of the chaos

    def end(self) -> None:
        """Kills all."""
        for role in list(self.pids):
            self.kill(role)


def call(path: Path) -> None:
    """One call to the provider; returns when it has answered."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"%d\n" % now_ns())
        connection.recv(1)


def configured(ledger: Ledger) -> None:
    """What each daemon does when it starts."""
    while True:
        try:
            ledger.configure(LIMIT, WINDOW, LONGEST)
            return
        except LedgerBusy:
            continue


def caller(ledger: Path, api: Path) -> Callable[[random.Random], None]:
    """A task that calls again and again through the client; some of its calls are given back."""

    def run(dice: random.Random) -> None:
        client.use({"x": Ledger(ledger)})
        configured(client._ledgers["x"])
        while True:
            with quota("x").call() as one:
                if dice.random() < 0.05:
                    one.not_sent()
                else:
                    call(api)

    return run


def clumsy(ledger: Path, api: Path) -> Callable[[random.Random], None]:
    """Run a caller that is killed between two stores of a change, with the lock held.

    This happens about once in ten calls.
    """
    put = Slots.put

    def run(dice: random.Random) -> None:
        def put_or_die(slots: Slots, slot: int, word: Slot, value: int) -> None:
            if dice.random() < 0.01:
                os.kill(os.getpid(), signal.SIGKILL)
            put(slots, slot, word, value)

        Slots.put = put_or_die  # type: ignore[method-assign, assignment]
        caller(ledger, api)(dice)

    return run


def gate(ledger: Path, api: Path) -> Callable[[random.Random], None]:
    """Run a worker that reserves for a task whose child claims the slot and calls.

    It settles what a killed child left.
    """

    def work(ledgers: Ledger, tickets: object) -> None:
        client.use({"x": ledgers})
        client.held.set({"x": list(tickets)})  # type: ignore[call-overload]
        die_with_parent(signal.SIGKILL)
        try:
            with quota("x").call(0.0):
                call(api)
        except NoAllowance:
            pass  # the slot was lost: no call

    def run(dice: random.Random) -> None:
        ledgers = Ledger(ledger)
        configured(ledgers)
        while True:
            try:
                tickets = ledgers.reserve(1, current_process())
                if not tickets:
                    let_pass(min(ledgers.wait_s() or 0.01, 0.1))
                    continue
                pid = os.fork()
                if pid == 0:
                    try:
                        work(ledgers, tickets)
                    finally:
                        os._exit(0)
                if dice.random() < 0.1:
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                ledgers.settle(tickets, answered=False)
            except LedgerBusy:
                continue

    return run


def watchdog(ledger: Path) -> Callable[[random.Random], None]:
    """Reaps and relaxes, and mends a damaged ledger."""

    def run(dice: random.Random) -> None:
        ledgers = Ledger(ledger)
        configured(ledgers)
        while True:
            try:
                ledgers.reap()
                ledgers.release_cooled()
            except LedgerBusy:
                pass
            except LedgerDamaged:
                configured(ledgers)
            let_pass(dice.uniform(0.0, 0.05))

    return run


# -- the proof -------------------------------------------------------------------------------------


@pytest.fixture
def seed() -> int:
    """A new seed each time, printed when the test fails; CHAOS_SEED gives one again."""
    number = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    print(f"CHAOS_SEED={number}")
    return number


def test_no_window_holds_more_than_the_limit(scratch: Path, seed: int, figure: Figure) -> None:
    """Under random kills and stops no window of the provider holds more calls.

    No slot is lost.
    """
    path, api, record = scratch / "x.ledger", scratch / "api", scratch / "calls"
    troop = Troop(scratch, seed, {})
    roles = {f"caller-{number}": caller(path, api) for number in range(CALLERS)}
    roles |= {f"clumsy-{number}": clumsy(path, api) for number in range(2)}
    roles |= {f"gate-{number}": gate(path, api) for number in range(2)} | {
        "watchdog": watchdog(path)
    }
    with provider(api, record):
        try:
            Ledger(path).configure(LIMIT, WINDOW, LONGEST)
            troop.roles.update(roles)
            began = time.monotonic()
            with deadline("chaos", CHAOS + TIMEOUT) as longest:

                def enough() -> bool:
                    """Whether it was called: the proof says little when hardly anybody calls."""
                    if time.monotonic() > began + longest:
                        raise AssertionError(f"expected {ENOUGH} calls")
                    return record.exists() and len(seen(record)) >= ENOUGH

                troop.chaos(random.Random(seed), CHAOS, enough)
            took = time.monotonic() - began
            for role in roles:
                troop.kill(role)
            ledger = Ledger(path)
            ledger.reap()
            last = now_ns()
            until(lambda: ledger.counts().free == LIMIT, what="every slot to be free again")
            figure(
                "chaos: every slot is free again",
                (now_ns() - last) / 1e9,
                f"<= {WINDOW + LONGEST:g} s",
            )
            until(
                lambda: ledger.reserve(LIMIT, current_process()) is not None,
                what="the whole limit at once",
            )
        finally:
            troop.end()
    errors = [error.read_text() for error in scratch.glob("error-*")]
    stamps = [call.stamped for call in seen(record)]
    worst, use = worst_window(stamps, WINDOW), len(stamps) / (LIMIT * (took / WINDOW + 1))
    print(
        f"{troop.kills} kills, {troop.stops} stops, {len(stamps)} calls, worst window {worst} of "
        f"{LIMIT}, use {use:.1%}"
    )
    assert errors == []
    assert list(scratch.glob("*.damaged-*")) == []
    assert worst <= LIMIT
    figure("chaos: use of the quota", f"{use:.0%}", "most of it")
