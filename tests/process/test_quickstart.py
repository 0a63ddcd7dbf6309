"""The first command of the README, on each broker, with every log followed as an operator would."""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kombu import Connection
from redis import Redis

from support.servers import RabbitMQNode
from support.suite import ENVIRONMENT
from support.wait import TIMEOUT, end_of, output_of, run_to_end
from warren.errors import ExitCode

SCRIPT = Path(__file__).parents[2] / "scripts" / "quickstart"


class Followed:
    """What `tail -F` showed of a directory's logs."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def wrong(self) -> list[str]:
        """The lines that are not one JSON object."""
        return [line for line in self.lines if not _is_object(line)]


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@contextmanager
def followed(directory: Path, daemons: list[str]) -> Iterator[Followed]:
    """Follow the daemons' logs by name until the block ends.

    This works from before they exist, and through renaming.
    """
    seen = Followed()
    paths = [str(directory / f"{daemon}.log") for daemon in daemons]
    arguments = ["tail", "-q", "-n", "+1", "--sleep-interval=0.1", "-F", *paths]
    tail = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert tail.stdout is not None
    reader = threading.Thread(target=lambda out=tail.stdout: seen.lines.extend(out))
    reader.start()
    try:
        yield seen
    finally:
        tail.terminate()
        reader.join(TIMEOUT)
        end_of(tail)


@pytest.fixture
def shared(rabbitmq: RabbitMQNode) -> Iterator[str]:
    """Yield the URL of a virtual host that has a classic queue `default` of other users.

    A run leaves no other but Celery's own.
    """
    name = f"shared-{secrets.token_hex(4)}"
    url = rabbitmq.add_vhost(name)
    with Connection(url) as connection:
        connection.default_channel.queue_declare("default", durable=True, auto_delete=False)
    yield url
    left = rabbitmq.ctl("list_queues", "-p", name, "--no-table-headers", "name").split()
    exchanges = rabbitmq.ctl("list_exchanges", "-p", name, "--no-table-headers", "name").split()
    rabbitmq.ctl("delete_vhost", name)
    assert (
        {"default"}
        <= {each for each in left if not each.startswith("celery_delayed_")}
        <= {"default", "warren.rejected"}
    )
    others = {each for each in exchanges if not each.startswith(("celery_delayed_", "amq."))}
    assert others <= {"warren", "celery.pidbox", "reply.celery.pidbox"}


@pytest.fixture
def empty_redis(redis_url: str) -> Iterator[str]:
    """The URL of a database that nobody uses.

    A run leaves nothing there but what the guide names.
    """
    url = redis_url.rpartition("/")[0] + "/7"
    with Redis.from_url(url) as database:
        database.flushdb()
        yield url
        left = {key.decode() for key in database.scan_iter()}
        # The watchdog's own question for alarms ends with its second; it may be gone by now.
        ending = {
            key
            for key in left
            if key.startswith(("celery-task-meta-", "warren.suite.", "warren.broker-status."))
        }
        assert all(
            database.pttl(key) == -2 or 0 <= database.pttl(key) <= 3_600_000 for key in ending
        )
        database.flushdb()
        assert left - ending <= {"_kombu.binding_deadlines"}


def test_a_broker_that_refuses_what_a_run_needs(
    shared: str, rabbitmq: RabbitMQNode, scratch: Path
) -> None:
    """The run ends with the worker's line and 69 when its workers do.

    It does not wait for them.
    """
    with Connection(shared) as connection:
        connection.default_channel.exchange_declare(
            "warren", type="direct", durable=True, auto_delete=False
        )
    arguments = [str(SCRIPT), "--broker", shared, "--directory", str(scratch / "run")]
    done = run_to_end(arguments, env=ENVIRONMENT, capture_output=True)
    assert done.returncode == ExitCode.UNAVAILABLE, done.stderr
    assert "expected it to start, found: exit status 69: " in done.stderr
    assert "PRECONDITION_FAILED" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("broker", "documents"), [("embedded", 300), ("rabbitmq", 120), ("redis", 120)]
)
def test_the_quickstart_keeps_its_promises(
    request: pytest.FixtureRequest, scratch: Path, broker: str, documents: int
) -> None:
    """The run is right: nothing is refused or lost, and no window is above the limit.

    The batch is right, the schedule ticked, and every log line is JSON.
    """
    arguments = [
        str(SCRIPT),
        "--json",
        "--documents",
        str(documents),
        "--directory",
        str(scratch / "run"),
    ]
    if broker == "redis":
        arguments += ["--broker", request.getfixturevalue("empty_redis")]
    elif broker == "rabbitmq":
        arguments += ["--broker", request.getfixturevalue("shared")]
    daemons = ["worker", "beat", "quota-watchdog", "supervisord"]
    with followed(scratch / "run" / "log", daemons) as seen:
        started = subprocess.Popen(
            arguments, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        out, err = output_of(started, within=400)
    assert started.returncode == 0, err
    said = json.loads(out.splitlines()[-1])
    assert set(said) == {
        "documents",
        "calls",
        "refused",
        "worst_window",
        "limit",
        "use",
        "batch",
        "ticks",
        "lost",
    }
    assert said["documents"] == documents
    assert said["calls"] >= documents
    assert said["refused"] == 0
    assert said["lost"] == 0
    assert 0 < said["worst_window"] <= said["limit"] == 60
    assert said["batch"] == [4, 8, 16, 32]
    assert said["ticks"] >= 1
    assert {json.loads(line)["daemon"] for line in seen.lines} == set(daemons)
    assert not seen.wrong()
