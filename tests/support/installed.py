"""Warren installed from its package on a booted host, with tasks whose runs can be counted."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.host import Host
from support.wait import TIMEOUT, until

#: A run leaves two lines: when it begins and when it is done, in ns of a clock that outlives the
#: host. One write each: no line is torn.
TASKS = """
import os, time
from celery import shared_task

def note(word, number):
    line = f"{word} {number} {time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\\n".encode()
    handle = os.open("/var/lib/warren/runs", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)

@shared_task(name="jobs.run")
def run(number, seconds=0.0):
    note("begin", number)
    time.sleep(seconds)
    note("end", number)

@shared_task(name="jobs.nothing")
def nothing(seconds=0.0):
    time.sleep(seconds)
"""
#: Sends a task once for each list of arguments, over one connection.
SENDER = """
import json, sys
from pathlib import Path
from warren.app.factory import make_app
from warren.config import load
task, calls = sys.argv[1], json.load(sys.stdin)
app = make_app(load(Path("/etc/warren")))
with app.producer_pool.acquire(block=True) as producer:
    for arguments in calls:
        app.send_task(task, arguments, producer=producer)
"""
#: Prints the ids of the tasks that wait in a queue, and leaves them there.
READER = """
import json, sys
from pathlib import Path
from warren.app.factory import make_app
from warren.config import load
found = []
with make_app(load(Path("/etc/warren"))).connection_for_read() as connection:
    while (message := connection.default_channel.basic_get(sys.argv[1])) is not None:
        found.append(message.headers["id"])
json.dump(found, sys.stdout)
"""
HEAD = "[app]\nmodules = jobs\npath = /srv/jobs\n"
RABBITMQ = HEAD + "[broker]\nurl_file = /etc/warren/secrets/broker-url\n"
WORKER = "[worker:main]\nconcurrency = 2\n"


@dataclass(frozen=True)
class Runs:
    """How often each task has begun and ended, and when each of these calls was.

    The times are in seconds of CLOCK_BOOTTIME, in order.
    """

    begun: Counter[int]
    ended: Counter[int]
    calls: list[float]

    def lost(self, first: int, last: int) -> list[int]:
        """The numbers that never ended."""
        return [number for number in range(first, last + 1) if not self.ended[number]]

    def again(self) -> list[int]:
        """The numbers that ended more than once."""
        return [number for number, times in self.ended.items() if times > 1]


class Installed:
    """The suite of one host, as its package installed it.

    Its RabbitMQ runs on `queue`, the same host unless another is named.
    """

    def __init__(
        self, host: Host, package: Path, ini: str, broker: bool = True, queue: Host | None = None
    ) -> None:
        self.host = host
        self.queue = queue or host
        self.password = ""
        if broker:
            self.start_rabbitmq()
        self.set_up(package, ini)

    # -- set-up ------------------------------------------------------------------------------------

    def set_up(self, package: Path, ini: str) -> None:
        """The package with these settings and the tasks; nothing is started.

        Also on a host from which it was purged.
        """
        # the machine may be busy
        self.host.write("/etc/warren/conf.d/patience.ini", "[supervise]\nstart_timeout = 5m\n")
        self.install(package)
        self.stop()  # the package starts it with what it ships
        self.host.write("/srv/jobs/jobs.py", TASKS)
        self.host.write("/srv/jobs/send.py", SENDER)
        self.host.write("/srv/jobs/read.py", READER)
        if self.password:
            self._write_url()
        self.configure(ini)

    def start_rabbitmq(self) -> None:
        """The broker of Debian's package, with a user of its own for the suite."""
        self.password = secrets.token_hex(8)
        self.queue.start("rabbitmq-server")
        self.queue.sh(
            f"rabbitmqctl -q await_startup; rabbitmqctl -q add_user warren {self.password};"
            "rabbitmqctl -q set_permissions -p / warren '.*' '.*' '.*'",
        )

    def install(self, package: Path) -> None:
        """As an operator would: apt install ./warren_*.deb.

        Nothing is asked, whatever was edited: there is nobody to answer.
        """
        self.host.copy(package, f"/root/{package.name}")
        self.host.sh(f"apt-get -qq install --no-install-recommends /root/{package.name} </dev/null")

    def _write_url(self) -> None:
        self.host.sh("install -d -o warren -g warren -m 700 /etc/warren/secrets")
        address = "127.0.0.1" if self.queue is self.host else self.queue.address
        self.host.write(
            "/etc/warren/secrets/broker-url",
            f"amqp://warren:{self.password}@{address}:5672//\n",
            0o600,
        )
        self.host.sh("chown warren:warren /etc/warren/secrets/broker-url")

    def join(self, other: Installed) -> None:
        """Uses the broker of another host's suite."""
        self.queue, self.password = other.queue, other.password
        self._write_url()

    def configure(self, ini: str) -> None:
        """Replaces warren.ini, as an operator's editor does."""
        self.host.write("/etc/warren/warren.ini", ini, 0o644)

    def start(self) -> None:
        """systemctl start, which returns when the suite is ready."""
        self._systemctl("start")

    def reload(self) -> None:
        """systemctl reload, which returns when the new settings are in force."""
        self._systemctl("reload")

    def stop(self) -> None:
        """systemctl stop, which lets running tasks finish."""
        self._systemctl("stop")

    def _systemctl(self, verb: str) -> None:
        # A start returns when the suite is ready, or its start_timeout is over.
        done = self.host.run("systemctl", verb, "warren", check=False, within=600)
        assert done.returncode == 0, (
            f"systemctl {verb}: {done.stderr}{self.host.journal('warren')[-3000:]}"
        )

    # -- what can be seen --------------------------------------------------------------------------

    def heartbeat(self, program: str) -> dict[str, Any]:
        """The heartbeat file of a program; empty when it has none."""
        return self._json(f"/run/warren/heartbeats/{program}.json")

    def quotas(self) -> dict[str, Any]:
        """How the quotas stand, as the watchdog saw them last; empty before its first look."""
        found: dict[str, Any] = self._json("/run/warren/broker.json").get("quotas", {})
        return found

    def pid(self, program: str) -> int:
        """The process of a program that is ready; 0 when it is not."""
        heartbeat = self.heartbeat(program)
        return int(heartbeat["pid"]) if heartbeat.get("state") in ("ready", "standby") else 0

    def another(self, program: str, than: int, within: float = TIMEOUT) -> float:
        """Waits for a ready process of the program that is not `than`; the seconds it took."""
        began = time.monotonic()
        until(
            lambda: self.pid(program) not in (0, than),
            within,
            f"another {program} than {than}; {self.heartbeat(program)}",
        )
        return time.monotonic() - began

    def supervisord(self) -> int:
        """The main process of the unit; 0 when there is none."""
        return int(self.host.show("warren", "MainPID"))

    def processes(self) -> dict[int, str]:
        """Every process of the suite's user, by number, with its start and its words."""
        listed = self.host.run(
            "ps", "-u", "warren", "-o", "pid=,lstart=,args=", "-ww", check=False
        ).stdout
        return {int(line.split()[0]): line.split(maxsplit=1)[1] for line in listed.splitlines()}

    def log(self, daemon: str) -> list[dict[str, Any]]:
        """Return every whole line of a daemon's log.

        Blanks stand where a full disk took only half a line.
        """
        text = self.host.read(f"/var/log/warren/{daemon}.log")
        return [
            json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.strip()
        ]

    def logged(self, daemon: str, event: str, **fields: Any) -> list[dict[str, Any]]:
        """The lines of one event that have these fields."""
        return [
            line
            for line in self.log(daemon)
            if line["event"] == event and all(line.get(k) == v for k, v in fields.items())
        ]

    def _json(self, path: str) -> dict[str, Any]:
        try:
            said: dict[str, Any] = json.loads(self.host.read(path) or "{}")
        except ValueError:
            return {}
        return said

    # -- tasks -------------------------------------------------------------------------------------

    def send(self, first: int, last: int, seconds: float = 0.0) -> None:
        """Sends tasks of these numbers, each of which takes so long."""
        self.send_all("jobs.run", [[number, seconds] for number in range(first, last + 1)])

    def send_all(self, task: str, calls: list[list[object]]) -> None:
        """Sends a task once for each list of arguments."""
        arguments = ("/usr/lib/warren/bin/python", "/srv/jobs/send.py", task)
        self.host.run("runuser", "-u", "warren", "--", *arguments, given=json.dumps(calls))

    def waiting(self, queue: str) -> list[str]:
        """The ids of the tasks in a queue that no worker consumes."""
        arguments = ("/usr/lib/warren/bin/python", "/srv/jobs/read.py", queue)
        found: list[str] = json.loads(
            self.host.run("runuser", "-u", "warren", "--", *arguments).stdout
        )
        return found

    def runs(self) -> Runs:
        """What the tasks have noted so far."""
        begun: Counter[int] = Counter()
        ended: Counter[int] = Counter()
        calls: list[float] = []
        for line in self.host.read("/var/lib/warren/runs").splitlines():
            word, number, at = line.split()
            {"begin": begun, "end": ended}.get(word, Counter())[int(number)] += 1
            if word == "begin":
                calls.append(int(at) / 1e9)
        return Runs(begun, ended, sorted(calls))

    def all_done(self, first: int, last: int, within: float = TIMEOUT) -> Runs:
        """Waits until every task of these numbers has ended."""
        until(
            lambda: not self.runs().lost(first, last),
            within,
            f"{last - first + 1} tasks done; lost {self.runs().lost(first, last)[:9]}",
        )
        return self.runs()
