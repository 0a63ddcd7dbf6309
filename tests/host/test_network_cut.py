"""The network between a host and its broker is cut without a word, and healed."""

from __future__ import annotations

import time
from pathlib import Path

from support.figures import Figure
from support.host import Network
from support.installed import RABBITMQ, WORKER, Installed
from support.wait import TIMEOUT, until

PROGRAMS = ("worker-main", "beat", "quota-watchdog")
#: Seconds without a network: longer than heartbeats allow, on both sides.
CUT = 40.0
#: Seconds in which tasks are to run again: at most 2 s until the next attempt to connect, or the
#: next packet of that under way.
AGAIN = 5.0
#: The default heartbeat_timeout: no heartbeat is to be silent for so long.
SILENCE = 20.0
#: What a worker of two processes has in hand at most, with one message fetched for each.
FETCHED = 2


def test_packets_vanish_and_come_back(net: Network, package: Path, figure: Figure) -> None:
    """40 s without a packet restart no daemon, and no task is lost.

    Tasks run again after the first packet that passes.
    """
    queue, server = net.hosts("queue", "server")
    suite = Installed(
        server,
        package,
        RABBITMQ + WORKER + "[schedule:tick]\ntask = jobs.nothing\nevery = 1s\n",
        queue=queue,
    )
    suite.start()
    before = pids(suite)
    assert all(before.values()), before
    suite.send(1, 100, 0.5)
    until(
        lambda: suite.runs().begun[4] and suite.logged("beat", "tick_sent"),
        what="the first tasks and ticks",
    )
    with net.cut(queue):
        silence = longest_silence(suite, CUT)
        until(lambda: suite.logged("worker", "broker_lost"), what="a worker that has noticed")
        until(lambda: suite.logged("beat", "tick_failed"), what="a beat that has noticed")
        begun = suite.runs().begun.total()
    healed = time.monotonic()
    until(lambda: suite.runs().begun.total() > begun, what="a task")
    took = time.monotonic() - healed
    figure("network cut for 40 s: longest silence of a heartbeat", silence, f"< {SILENCE:g} s")
    figure("network cut for 40 s: a task begins after the first packet", took, f"<= {AGAIN:g} s")
    runs = suite.all_done(1, 100)
    until(lambda: all(pids(suite).values()), what="every daemon ready again")
    assert pids(suite) == before
    # What the worker had fetched or begun when its connection broke was not acknowledged, and comes
    # once more.
    assert max(runs.ended.values()) <= 2
    assert len(runs.again()) <= FETCHED


def pids(suite: Installed) -> dict[str, int]:
    """The process of each daemon that is ready, else 0, and of supervisord."""
    return {program: suite.pid(program) for program in PROGRAMS} | {
        "supervisord": suite.supervisord()
    }


def longest_silence(suite: Installed, seconds: float) -> float:
    """Watches the heartbeats for so long; the greatest age (seconds) that any of them had."""
    end, longest = time.monotonic() + seconds, 0.0

    def over() -> bool:
        nonlocal longest
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        longest = max(
            longest, *(now - float(suite.heartbeat(program)["at"]) for program in PROGRAMS)
        )
        return time.monotonic() > end

    until(over, seconds + TIMEOUT, "the end of the watch")
    return longest
