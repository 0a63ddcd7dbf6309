"""Tasks on a broker that is killed again and again, as its workers are.

Each task must run at least once.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amqp.exceptions import AMQPError
from kombu.exceptions import OperationalError

from support.kill_servers import TIMEOUT, server
from support.suite import Suite
from support.wait import end_of, let_pass, until
from warren.app.factory import make_app
from warren.config import load

JOBS = """
from celery import shared_task

@shared_task(name="jobs.note", ignore_result=True)
def note(path, number):
    with open(path, "a") as file:
        file.write(f"{number}\\n")
"""
#: Seconds after which what RabbitMQ counts is not older than that.
OLD = 20.0


@dataclass
class Outcome:
    """What a run came to."""

    broker: str
    sent: int
    lost: list[int]
    #: Tasks that ran more than once.
    again: int
    #: Kills of workers, and of the broker.
    kills: int
    server_kills: int
    #: Messages that stayed behind, by where they are.
    left: list[int] = field(default_factory=list)
    #: Messages that went back because their worker was dead, or a connection was cut, and Warren
    #: gave them back (Redis).
    restored: int = 0
    seconds: float = 0.0


class Run:
    """One suite, one broker."""

    def __init__(
        self,
        directory: Path,
        tasks: int,
        kills: int,
        server_kills: int,
        seed: int = 1,
        broker: str = "redis",
        say: Any = None,
    ) -> None:
        self.directory, self.tasks, self.kills, self.server_kills = (
            directory,
            tasks,
            kills,
            server_kills,
        )
        self._broker, self._say = broker, say or (lambda text: None)
        self._chance = random.Random(seed)
        self.server = server(broker, directory)
        self.suite = Suite(
            directory, self.server.section + "[worker:a]\nconcurrency = 2\n", modules="jobs"
        )
        self.suite.module("jobs", JOBS)
        self._runs = directory / "runs"
        self._runs.touch()
        self._sent = 0
        #: Kills of workers that are over, and of the broker.
        self._killed = self._servers_killed = 0
        #: What was left when somebody looked, and since when that is nothing.
        self._left: list[int] = []
        self._empty = float("inf")

    def __call__(self) -> Outcome:
        """Send and kill, then let a worker do what is left."""
        begun = time.monotonic()
        self.server.start()
        sender = threading.Thread(target=self._send)
        try:
            sender.start()
            for number in range(self.kills):
                self._kill_a_worker(number)
            with self.suite.running("worker", "a"):
                until(lambda: not sender.is_alive(), TIMEOUT, "everything sent")
                self._until_done()
        finally:
            self._sent = self.tasks  # ends the sender of a run that failed
            sender.join()
            self.server.end()
        counted = Counter(self._begun())
        lost = sorted(set(range(self.tasks)) - set(counted))
        again = sum(runs > 1 for runs in counted.values())
        restored = sum(
            line["messages"] for line in self.suite.logged("worker", "messages_restored")
        )
        took = time.monotonic() - begun
        return Outcome(
            self._broker,
            self.tasks,
            lost,
            again,
            self.kills,
            self.server_kills,
            self._left,
            restored,
            took,
        )

    def _send(self) -> None:
        app: Any = make_app(load(self.suite.etc))
        while self._sent < self.tasks:
            try:
                # It returns when the broker has confirmed the message: from then on it must run.
                app.send_task(
                    "jobs.note", [str(self._runs), self._sent], ignore_result=True, retry=False
                )
            except (OperationalError, AMQPError, OSError):
                let_pass(0.05)  # it may have been taken: sent again, it may run twice
                continue
            self._sent += 1
            # half of them in one go, half with gaps in which a worker is idle
            if self._sent * 2 > self.tasks:
                let_pass(self._chance.random() * 0.006)
            self._wait_for_kills()

    def _wait_for_kills(self) -> None:
        """Sends no more than are meant for the kills so far: each of them is to meet tasks."""
        while self._sent < self.tasks and self._sent > self.tasks * (self._killed + 1) / (
            self.kills + 1
        ):
            let_pass(0.01)

    def _kill_a_worker(self, number: int) -> None:
        share = max(1, self.tasks // (self.kills + 1))
        before = len(self._begun())
        with self.suite.running("worker", "a") as worker:
            wanted = before + self._chance.randrange(1, max(2, share // 2))
            until(lambda: len(self._begun()) >= wanted or self._idle(), TIMEOUT, "tasks at work")
            let_pass(self._chance.random() * 0.05)
            if self._servers_killed < self.server_kills * (number + 1) / self.kills:
                self._kill_server()
                # every other time the worker outlives it, and connects again
                if self._servers_killed % 2:
                    wanted = len(self._begun()) + 1
                    until(
                        lambda: len(self._begun()) >= wanted or self._idle(),
                        TIMEOUT,
                        "tasks after the broker's return",
                    )
            worker.send_signal(signal.SIGKILL)
            end_of(worker)
        self._killed += 1

    def _idle(self) -> bool:
        """Whether there is nothing to do until the next kill."""
        return (
            self._sent >= self.tasks * (self._killed + 1) / (self.kills + 1)
            and not self.server.waiting()
        )

    def _kill_server(self) -> None:
        self.server.kill()
        self.server.start()
        self._servers_killed += 1
        self._say(
            f"{self._servers_killed} kills of the broker, {self._killed} of workers, {self._sent} "
            "sent"
        )

    def _until_done(self) -> None:
        """Waits for as long as tasks are done: a queue may be long."""
        while not self._done():
            before = len(self._begun())
            until(
                lambda: len(self._begun()) > before or self._done(),  # noqa: B023
                TIMEOUT,
                "an empty queue",
                every=1.0,
            )

    def _done(self) -> bool:
        """Return whether nothing is left, and each task ran or is lost.

        What RabbitMQ counts may be some seconds old.
        """
        self._left = self.server.left()
        if any(self._left):
            self._empty = float("inf")
        else:
            self._empty = min(self._empty, time.monotonic())
        ran = len(set(self._begun())) == self.tasks
        return (ran and self._empty < float("inf")) or time.monotonic() - self._empty > OLD

    def _begun(self) -> list[int]:
        return [int(line) for line in self._runs.read_text(encoding="ascii").splitlines()]
