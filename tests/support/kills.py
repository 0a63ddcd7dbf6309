"""Tasks on a Redis whose workers, and which itself, are killed again and again: each must run at least once."""

from __future__ import annotations

import os
import random
import secrets
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kombu.exceptions import OperationalError
from redis import Redis

from support.servers import free_port, redis_server_at
from support.suite import Suite, broker_section
from support.wait import end_of, let_pass, until
from warren.app import make_app
from warren.config import load

JOBS = """
from celery import shared_task

@shared_task(name="jobs.note", ignore_result=True)
def note(path, number):
    with open(path, "a") as file:
        file.write(f"{number}\\n")
"""
#: What Redis has answered is on disk: a Redis that is killed has lost nothing of it.
ON_DISK = ("appendonly yes", "appendfsync always")
#: Seconds for a worker to begin, or for Redis to be back.
PATIENCE = 600.0


@dataclass
class Outcome:
    """What a run came to."""

    sent: int
    lost: list[int]
    #: Tasks that ran more than once.
    again: int
    #: Kills of workers, and of Redis.
    kills: int
    server_kills: int
    #: Messages in the queue, noted as taken, and in the index of those, at the end.
    left: list[int] = field(default_factory=list)
    #: Messages that went back because their worker was dead, or a connection was cut.
    restored: int = 0
    seconds: float = 0.0


class Run:
    """One suite, one Redis."""

    def __init__(self, folder: Path, tasks: int, kills: int, server_kills: int, seed: int = 1) -> None:
        self.folder, self.tasks, self.kills, self.server_kills = folder, tasks, kills, server_kills
        self._chance = random.Random(seed)
        self._port, self._password = free_port(), secrets.token_hex(8)
        self._url = f"redis://:{self._password}@127.0.0.1:{self._port}/0"
        self.redis: Redis = Redis.from_url(self._url)
        (folder / "redis").mkdir()
        self.suite = Suite(folder, broker_section(folder, self._url) + "[worker:a]\nconcurrency = 2\n", modules="jobs")
        self.suite.module("jobs", JOBS)
        self._runs = folder / "runs"
        self._runs.touch()
        self._sent = 0
        self._server = ExitStack()

    def __call__(self) -> Outcome:
        """Send and kill, then let a worker do what is left."""
        begun = time.monotonic()
        self._start_redis()
        sender = threading.Thread(target=self._send)
        try:
            sender.start()
            for number in range(self.kills):
                self._kill_a_worker(number)
            with self.suite.running("worker", "a"):
                until(lambda: not sender.is_alive(), PATIENCE, "everything sent")
                until(lambda: not any(self._left()), PATIENCE, f"an empty queue; left {self._left()}")
            left = self._left()
        finally:
            self._sent = self.tasks  # ends the sender of a run that failed
            sender.join()
            self._server.close()
        counted = Counter(self._begun())
        lost = sorted(set(range(self.tasks)) - set(counted))
        again = sum(runs > 1 for runs in counted.values())
        restored = sum(line["messages"] for line in self.suite.logged("worker", "messages_restored"))
        took = time.monotonic() - begun
        return Outcome(self.tasks, lost, again, self.kills, self.server_kills, left, restored, took)

    def _send(self) -> None:
        app: Any = make_app(load(self.suite.etc))
        while self._sent < self.tasks:
            try:
                app.send_task("jobs.note", [str(self._runs), self._sent], ignore_result=True, retry=False)
            except (OperationalError, OSError):
                let_pass(0.05)  # it may have been taken: sent again, it may run twice
                continue
            self._sent += 1
            if self._sent * 2 > self.tasks:  # half of them in one go, half with gaps in which a worker is idle
                let_pass(self._chance.random() * 0.006)
            self._wait_for_kills()

    def _wait_for_kills(self) -> None:
        """Sends no more than are meant for the kills so far: each of them is to meet tasks."""
        while self._sent < self.tasks and self._sent > self.tasks * (self._killed + 1) / (self.kills + 1):
            let_pass(0.01)

    _killed = 0

    def _kill_a_worker(self, number: int) -> None:
        share = max(1, self.tasks // (self.kills + 1))
        before = len(self._begun())
        with self.suite.running("worker", "a") as worker:
            wanted = before + self._chance.randrange(1, max(2, share // 2))
            until(lambda: len(self._begun()) >= wanted or self._idle(), PATIENCE, "tasks at work")
            let_pass(self._chance.random() * 0.05)
            if (
                number % max(1, self.kills // max(1, self.server_kills)) == 0
                and number // max(1, self.kills // max(1, self.server_kills)) < self.server_kills
            ):
                self._kill_redis()
            worker.send_signal(signal.SIGKILL)
            end_of(worker)
        self._killed += 1

    def _idle(self) -> bool:
        """Whether there is nothing to do until the next kill."""
        return self._sent >= self.tasks * (self._killed + 1) / (self.kills + 1) and not any(self._left())

    def _kill_redis(self) -> None:
        os.kill(int(self.redis.info("server")["process_id"]), signal.SIGKILL)
        self._server.close()
        self._start_redis()

    def _start_redis(self) -> None:
        self._server.enter_context(redis_server_at(self.folder / "redis", self._port, self._password, *ON_DISK))
        until(self._answers, PATIENCE, "Redis to have read its file")

    def _answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except Exception:  # noqa: BLE001  it loads its file, or does not listen yet
            return False

    def _left(self) -> list[int]:
        try:
            return [self.redis.llen("default"), self.redis.hlen("unacked"), self.redis.zcard("unacked_index")]
        except Exception:  # noqa: BLE001  as above
            return [-1]

    def _begun(self) -> list[int]:
        return [int(line) for line in self._runs.read_text(encoding="ascii").splitlines()]
