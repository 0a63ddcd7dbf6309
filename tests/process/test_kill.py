"""kill -9 of everything that Warren runs, while it collects documents under a quota.

No call is refused, and nothing is lost.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.api import Api
from support.api import api as running
from support.suite import Suite, broker_section, children, descendants
from support.wait import until
from warren.app.factory import make_app
from warren.config import load
from warren.system.process import process_of

LIMIT, WINDOW, DOCUMENTS = 60, 3, 300
#: Victims of one run, each kind this often; shuffled by the seed.
KILLS = 3

INI = """
{broker}
[queue:documents{suffix}]
tasks = warren.demo.collect
[worker:one{suffix}]
queues = documents{suffix}
[worker:two{suffix}]
queues = documents{suffix}
[quota:documents]
limit = {limit}/{window}s
tasks = warren.demo.collect
longest_call = 2s
[beat]
enabled = no
"""


@pytest.fixture
def api(scratch: Path) -> Iterator[Api]:
    """The provider with the same limit as the quota."""
    with running(scratch, f"{LIMIT}/{WINDOW}s", 0.02) as made:
        yield made


@pytest.fixture(params=["embedded", "rabbitmq", "redis"])
def broker(request: pytest.FixtureRequest, scratch: Path) -> str:
    """The [broker] section of each kind of broker."""
    if request.param == "embedded":
        return ""
    url = (
        request.getfixturevalue("redis_url")
        if request.param == "redis"
        else request.getfixturevalue("rabbitmq").url
    )
    # Redis delivers what a killed worker had again only after this long.
    return broker_section(scratch, url) + "visibility_timeout = 6s"


class Run:
    """One suite, started again by hand whenever its supervisord is killed, as systemd would."""

    def __init__(self, suite: Suite, stack: ExitStack, dice: random.Random) -> None:
        self.suite, self.stack, self.dice = suite, stack, dice
        self.killed: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        """Starts supervisord and waits for the daemons."""
        self.supervisor = self.stack.enter_context(self.suite.running("supervise"))
        until(self.suite.ready, what="the suite to be ready")

    def pids(self, prefix: str) -> list[int]:
        """The processes of the programs whose name begins so."""
        status = self.suite.status() or {"programs": []}
        return [
            row["pid"]
            for row in status["programs"]
            if row["program"].startswith(prefix) and row["pid"]
        ]

    def kill(self, kind: str) -> None:
        """Send kill -9 to one process of that kind, chosen at random.

        Then wait until another process has taken its place.
        """
        candidates: Callable[[], list[int]] = {
            "child": lambda: [child for pid in self.pids("worker") for child in children(pid)],
            "worker": lambda: self.pids("worker"),
            "watchdog": lambda: self.pids("quota-watchdog"),
            "supervisord": lambda: [self.supervisor.pid],
        }[kind]
        found = self.dice.choice(
            until(lambda: list(filter(None, map(process_of, candidates()))), what=f"a {kind}")
        )
        os.kill(found.pid, signal.SIGKILL)
        self.killed[kind] += 1
        if kind == "supervisord":
            self.supervisor.wait()
            self.start()
        elif kind != "child":
            until(lambda: not found.alive and self.suite.ready(), what=f"a new {kind}")


def collected(directory: Path) -> int:
    """Whole documents so far."""
    return len(list((directory / "files").glob("*.txt")))


def test_nothing_is_refused_or_lost_whatever_is_killed(
    scratch: Path, api: Api, broker: str
) -> None:
    """Children, workers, watchdog and supervisord are killed at random.

    The API refuses nothing and every document arrives.
    """
    seed = int(os.environ.get("WARREN_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"WARREN_TEST_SEED={seed}")
    dice = random.Random(seed)
    suffix = f"-{scratch.name[-8:]}" if broker else ""
    ini = INI.format(broker=broker, suffix=suffix, limit=LIMIT, window=WINDOW)
    suite = Suite(scratch, ini, modules="warren.demo.tasks")
    demo = scratch / "state" / "demo"
    demo.mkdir(parents=True)
    said = {
        "api": api.url,
        "key_file": str(api.directory / "key"),
        "directory": str(demo / "files"),
    }
    (demo / "demo.json").write_text(json.dumps(said), encoding="utf-8")
    victims = [
        kind for kind in ("child", "worker", "watchdog", "supervisord") for _ in range(KILLS)
    ]
    dice.shuffle(victims)

    with ExitStack() as stack:
        run = Run(suite, stack, dice)
        app = make_app(load(suite.etc))
        for number in range(DOCUMENTS):
            app.send_task("warren.demo.collect", [number], ignore_result=True)
        for position, kind in enumerate(victims):
            share = (position + 1) * DOCUMENTS // (len(victims) + 2)
            until(lambda share=share: collected(demo) >= share, what=f"{share} documents")  # type: ignore[misc]
            run.kill(kind)
        until(lambda: collected(demo) == DOCUMENTS, what="every document")
        summary = api.get("/record").json()
        assert run.killed == Counter(dict.fromkeys(set(victims), KILLS))
        assert summary["refused"] == 0
        assert summary["worst_window"] <= LIMIT
        assert summary["calls"] >= DOCUMENTS
        no_orphans(scratch, run.supervisor.pid)
    for daemon in ("worker", "quota-watchdog", "supervisord"):
        assert suite.log(daemon), f"every line of {daemon}.log is JSON"


def no_orphans(directory: Path, supervisor: int) -> None:
    """Every daemon of this suite descends from this supervisord.

    It does so as soon as the daemons of killed ones have ended.
    """

    def strays() -> list[int]:
        family = {process.pid for process in descendants(supervisor)}
        return [pid for pid in _mentioning(f"{directory}/etc") if pid not in family]

    until(lambda: not strays(), what="no process of an earlier supervisord")


def _mentioning(word: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in arguments:
                found.append(int(entry.name))
    return found
