"""Redis: a message is taken and noted in one step.

It goes back once from a taker that is dead, or does not know of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kombu import Connection, Consumer, Queue
from redis import Redis

from support.cut import cut_before
from support.forks import killed_at
from support.suite import Suite, broker_section
from support.wait import output_of, result_of, until
from warren.app.factory import make_app
from warren.broker.redis import delivery_tags
from warren.config import load

JOBS = """
from celery import shared_task

@shared_task(name="jobs.add")
def add(a, b):
    return a + b
"""
OWN = "warren.broker.redis.redis_transport:Transport"
#: Another process that takes so many messages of the queue, says that it has them, and lives until
#: it is killed.
TAKER = f"""
import sys, time
from kombu import Connection

channel = Connection(sys.argv[1], transport="{OWN}").channel()
print(*[channel.basic_get("q").body for _ in range(int(sys.argv[2]))], flush=True)
time.sleep(600)
"""
#: Another process that asks for a message, and does not read the answer.
ASKER = f"""
import sys, time
from kombu import Connection, Consumer, Queue

# On a busy machine a sign of life could fall due while Redis stands still.
options = {{"health_check_interval": 0}}
connection = Connection(sys.argv[1], transport="{OWN}", transport_options=options)
channel = connection.channel()
Consumer(channel, [Queue("q")], auto_declare=False, callbacks=[print]).consume()
print("ready", flush=True)
sys.stdin.readline()
connection.transport.cycle.on_poll_start()
print("asked", flush=True)
time.sleep(600)
"""


@pytest.fixture
def url(redis_url: str) -> str:
    """The URL of a database of this file's, empty."""
    found = redis_url.replace("/0", "/7")
    Redis.from_url(found).flushdb()
    return found


@pytest.fixture
def database(url: str) -> Any:
    """The same database."""
    return Redis.from_url(url)


@pytest.fixture
def connect(url: str) -> Iterator[Callable[..., Any]]:
    """Makes channels of Warren's, or of another transport."""
    with ExitStack() as stack:

        def made(transport: str = OWN, **options: Any) -> Any:
            found = Connection(
                url, transport=transport, transport_options={"polling_interval": 0.05, **options}
            )
            return stack.enter_context(closing(found)).channel()

        yield made


@pytest.fixture
def script(connect: Callable[..., Any]) -> None:
    """Have Redis know the script of a take.

    A test that asks and reads no answer cannot bring it along.
    """
    channel = connect()
    put(channel, "first")
    assert taken(channel, 1, no_ack=True) == ["first"]
    channel.close()


def put(channel: Any, *bodies: str, queue: str = "q", **options: Any) -> None:
    """Put messages into the queue, the first one first."""
    for body in bodies:
        message = channel.prepare_message(
            body, content_type="text/plain", content_encoding="utf-8", **options
        )
        channel.basic_publish(message, exchange="", routing_key=queue)


def taken(channel: Any, count: int, *queues: str, no_ack: bool = False) -> list[str]:
    """Return the bodies of so many messages as a consumer gets them."""
    found: list[str] = []
    with Consumer(
        channel,
        [Queue(name, no_ack=no_ack) for name in queues or ("q",)],
        auto_declare=False,
        no_ack=no_ack,
        callbacks=[lambda body, _: found.append(body)],
    ):
        until(lambda: drained(channel) or len(found) >= count, what=f"{count} messages")
    return found


def drained(channel: Any) -> bool:
    """Have the channel look for messages once; False, for what else is waited for."""
    with suppress(TimeoutError):
        # load: one look of many; who calls waits for as long as any test does
        channel.connection.drain_events(channel.connection, timeout=1)
    return False


def rest(database: Any, queue: str = "q") -> list[str]:
    """Return the bodies of what is in the queue, the next one first."""
    channel = Connection(database_url(database), transport=OWN).channel()
    found = []
    while (message := channel.basic_get(queue, no_ack=True)) is not None:
        found.append(message.body.decode())
    channel.close()
    return found


def database_url(database: Any) -> str:
    """Return where it is."""
    known = database.connection_pool.connection_kwargs
    return f"redis://:{known['password']}@{known['host']}:{known['port']}/{known['db']}"


def started(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python process."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def take_elsewhere(url: str) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """Takes so many messages in another process."""
    processes: list[subprocess.Popen[str]] = []

    def take(count: int) -> subprocess.Popen[str]:
        processes.append(started(TAKER, url, str(count)))
        assert processes[-1].stdout is not None
        assert processes[-1].stdout.readline().split()
        return processes[-1]

    yield take
    for process in processes:
        with process:
            process.kill()


def ended(process: subprocess.Popen[str]) -> None:
    """Kill it. Nobody has fetched its exit code yet: the parent of a worker may be busy as well."""
    process.kill()
    until(
        lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z",
        what="its end",
    )


# -- taking ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "p."])
def test_what_is_taken_is_noted(connect: Callable[..., Any], database: Any, prefix: str) -> None:
    """A message is noted under its taker's tag when it leaves its list.

    The note is removed when the message is acknowledged.
    """
    channel = connect(global_keyprefix=prefix)
    put(channel, "a", "b")
    message = channel.basic_get("q")
    assert delivery_tags.is_own(message.delivery_tag)
    assert [key.decode() for key in database.hkeys(f"{prefix}unacked")] == [message.delivery_tag]
    assert database.zcard(f"{prefix}unacked_index") == database.llen(f"{prefix}q") == 1
    message.ack()
    assert taken(channel, 1) == ["b"]
    channel.close()
    assert database.hlen(f"{prefix}unacked") == database.zcard(f"{prefix}unacked_index") == 0
    assert database.llen(f"{prefix}q") == 1  # not acknowledged: it went back as its channel closed


def test_what_needs_no_acknowledgement_is_not_noted(
    connect: Callable[..., Any], database: Any
) -> None:
    """A consumer without acknowledgements leaves no note.

    Nor does a single message that was fetched so.
    """
    channel = connect()
    put(channel, "a", "b", "c")
    assert taken(channel, 2, no_ack=True)[:2] == ["a", "b"]
    put(channel, "d")
    assert channel.basic_get("q", no_ack=True) is not None
    assert database.hlen("unacked") == database.zcard("unacked_index") == 0


def test_priorities_and_queues_have_kombus_order(
    connect: Callable[..., Any], database: Any
) -> None:
    """Thirteen messages of three queues and priorities come in the order of kombu's consumer."""
    orders = []
    for transport in ("kombu.transport.redis:Transport", OWN):
        database.flushdb()
        sender = connect("kombu.transport.redis:Transport")
        # Uneven: no queue has as much of a priority as another one.
        for number, (queue, priority) in enumerate(
            zip("aaaaaabbbbccc", "0009390339993", strict=True)
        ):
            put(sender, str(number), queue=queue, priority=int(priority))
        orders.append(taken(connect(transport), 13, "a", "b", "c"))
    assert orders[0] == orders[1]
    assert sorted(map(int, orders[1])) == list(range(13))


def test_scripts_that_redis_has_forgotten(connect: Callable[..., Any], database: Any) -> None:
    """After SCRIPT FLUSH, as after a restart, messages are taken as before."""
    channel = connect()
    for body in ("a", "b"):
        put(channel, body)
        assert taken(channel, 1) == [body]
        channel.basic_recover(requeue=True)
        assert channel.basic_get("q", no_ack=True).body.decode() == body
        database.script_flush()


def test_a_bell_of_another_type_stops_nobody(connect: Callable[..., Any], database: Any) -> None:
    """What stands in a bell's place keeps no message out, nor sends it twice.

    A waiting consumer moves it out of the way.
    """
    channel = connect()
    database.set("warren.bell.q", "x")
    put(channel, "a")
    assert database.llen("q") == 1
    assert taken(channel, 1) == ["a"]
    with Consumer(channel, [Queue("q")], auto_declare=False, callbacks=[lambda *_: None]):
        until(
            lambda: drained(channel) or database.get("warren.rejected.warren.bell.q") == b"x",
            what="it is moved",
        )


def test_a_bell_that_nobody_hears_ends(connect: Callable[..., Any], database: Any) -> None:
    """A queue that nobody consumes leaves no bell behind for ever."""
    put(connect(), "a")
    assert 0 < database.pttl("warren.bell.q") <= 10_000


# -- what goes back --------------------------------------------------------------------------------


def test_a_dead_process_requeues_in_order(
    connect: Callable[..., Any], database: Any, take_elsewhere: Any
) -> None:
    """What a killed process had comes first again, the oldest first, once.

    What a live process has stays with it.
    """
    channel = connect()
    put(channel, *"abcdefgh")
    dead, alive = take_elsewhere(3), take_elsewhere(2)
    ended(dead)
    for _ in range(3):
        channel.qos.requeue_left()
        assert database.hlen("unacked") == 2
    assert rest(database) == list("abcfgh")
    alive.send_signal(signal.SIGSTOP)
    channel.qos.requeue_left()
    assert database.hlen("unacked") == 2  # stopped is not dead
    ended(alive)
    channel.qos.requeue_left()
    assert rest(database) == list("de")
    assert database.hlen("unacked") == database.zcard("unacked_index") == 0


def test_many_that_look_at_once_requeue_once(
    connect: Callable[..., Any], database: Any, take_elsewhere: Any
) -> None:
    """Each look finds the same messages, and each message goes back one time."""
    channel = connect()
    put(channel, *map(str, range(200)))
    ended(take_elsewhere(200))
    look = f"""
import sys
from kombu import Connection
channel = Connection(sys.argv[1], transport="{OWN}").channel()
print("ready", flush=True)
sys.stdin.readline()
channel.qos.requeue_left()
"""
    lookers = [started(look, database_url(database)) for _ in range(3)]
    for each in lookers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in lookers:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    for each in lookers:
        output_of(each)
    assert [each.returncode for each in lookers] == [0, 0, 0]
    assert sorted(map(int, rest(database))) == list(range(200))


def test_other_hosts_are_not_judged(connect: Callable[..., Any], database: Any) -> None:
    """A note of another host, of another boot or of kombu's own worker stays.

    It does not matter what number its process has.
    """
    channel = connect()
    put(channel, "a")
    entry = database.lindex("q", 0).decode()
    tags = [
        "take.0123_5.1.1.abcd.1",
        "take.x.1",
        "take.",
        "take....",
        "a",
        f"{delivery_tags.owner()}.x.1",
    ]
    for tag in tags:
        database.hset("unacked", tag, f'[{entry},"","q"]')
        database.zadd("unacked_index", {tag: 1e12})
    channel.qos.requeue_left()
    assert database.hlen("unacked") == len(tags)
    assert database.llen("q") == 1


@pytest.mark.usefixtures("script")
def test_a_take_that_redis_runs_after_the_death_comes_back(
    connect: Callable[..., Any], url: str, database: Any
) -> None:
    """A worker asks a Redis that stands still, and is killed.

    Redis runs the take later, and a later look finds it.
    """
    channel = connect()
    put(channel, "a")
    pid = int(database.info("server")["process_id"])
    with started(ASKER, url) as asker:
        assert asker.stdin is not None
        assert asker.stdout is not None
        assert asker.stdout.readline() == "ready\n"
        os.kill(pid, signal.SIGSTOP)
        try:
            asker.stdin.write("\n")
            asker.stdin.flush()
            assert asker.stdout.readline() == "asked\n"
            ended(asker)
        finally:
            os.kill(pid, signal.SIGCONT)
        until(
            lambda: (
                channel.qos.requeue_left()
                or not (database.hlen("unacked") or not database.llen("q"))
            ),
            what="it is back",
        )
    assert rest(database) == ["a"]


@pytest.mark.usefixtures("script")
def test_a_channel_that_closes_requeues_what_it_is_answered(
    connect: Callable[..., Any], database: Any
) -> None:
    """A message that arrives as the channel closes meets no consumer.

    It is in its queue when that is done.
    """
    channel, seen = connect(), []
    put(channel, "a")
    Consumer(
        channel, [Queue("q")], auto_declare=False, callbacks=[lambda body, _: seen.append(body)]
    ).consume()
    channel.connection.cycle.on_poll_start()  # asks, and does not read
    until(partial(database.hlen, "unacked"), what="the take to have run")
    channel.close()
    assert (seen, database.hlen("unacked"), database.llen("q")) == ([], 0, 1)


def test_a_connection_that_breaks_before_the_answer(scratch: Path, url: str, database: Any) -> None:
    """The take has run and its answer is lost.

    The same worker runs the task a moment later, once.
    """
    with cut_before(urlsplit(url).port or 0) as cut:
        through = url.replace(f":{urlsplit(url).port}/", f":{cut.port}/")
        suite = Suite(
            scratch,
            broker_section(scratch, through) + "[worker:a]\nconcurrency = 1\n",
            modules="jobs",
        )
        suite.module("jobs", JOBS)
        app: Any = make_app(load(suite.etc))
        with suite.running("worker", "a") as worker:
            suite.await_event("worker", "ready")
            assert result_of(app.send_task("jobs.add", [1, 2])) == 3
            cut.at_the_next_message.set()
            sent = app.send_task("jobs.add", [3, 4])
            until(cut.done.is_set, what="the cut")
            assert result_of(sent) == 7
            until(lambda: not database.hlen("unacked"), what="its acknowledgement")
            assert worker.poll() is None
        assert len(suite.logged("worker", "task_succeeded", task_id=sent.id)) == 1
        assert [line["messages"] for line in suite.logged("worker", "messages_restored")] == [1]


def test_the_watchdog_requeues_for_a_host_without_a_worker(
    scratch: Path, url: str, database: Any, take_elsewhere: Any
) -> None:
    """When no worker of the host lives, a dead worker's messages are for other hosts.

    They do not wait for the visibility timeout.
    """
    put(Connection(url, transport=OWN).channel(), "a")
    ended(take_elsewhere(1))
    suite = Suite(scratch, broker_section(scratch, url), modules="")
    with suite.running("quota-watchdog"):
        until(lambda: database.llen("q"), what="it is back")
    assert database.hlen("unacked") == 0
    assert [line["messages"] for line in suite.logged("quota-watchdog", "messages_restored")] == [1]


def test_a_taker_that_is_killed_anywhere(
    connect: Callable[..., Any], url: str, database: Any, scratch: Path
) -> None:
    """A kill at any line of the connection leaves the message in the queue or noted.

    It comes between its connection and its acknowledgement.
    """
    channel, answered = connect(), scratch / "answered"
    place = f"{Path(delivery_tags.__file__).parent}/"

    def work() -> None:
        own = Connection(url, transport=OWN).channel()
        got: list[Any] = []
        Consumer(
            own,
            [Queue("q")],
            auto_declare=False,
            callbacks=[lambda _, message: got.append(message)],
        ).consume()
        while not got:
            drained(own)
        answered.touch()
        got[0].ack()

    line = 0
    while True:
        database.flushdb()
        answered.unlink(missing_ok=True)
        put(channel, "a")
        killed = killed_at(line, work, place)
        channel.qos.requeue_left()
        found = rest(database)
        assert found == ["a"] or (found == [] and answered.exists()), line
        if not killed:
            break
        line += 4
    assert line > 50


@pytest.mark.usefixtures("script")
def test_an_answer_that_was_left_unread(connect: Callable[..., Any], database: Any) -> None:
    """The answer to a take is never taken for another one's.

    Both messages go back, and come once, each by its own tag.
    """
    channel = connect()
    put(channel, "a", "b")
    Consumer(channel, [Queue("q")], auto_declare=False, callbacks=[lambda *_: None]).consume()
    connection = channel.client.connection or channel.client.connection_pool.get_connection()
    channel.client.connection = connection
    for _ in range(2):
        channel.take.ask(connection, ["q"], 0.1)
    until(lambda: database.hlen("unacked") == 2, what="both takes")
    assert channel.take.answer(channel.client) is None
    channel.qos.requeue_left()
    assert (database.hlen("unacked"), database.llen("q")) == (0, 2)


# -- who is woken ----------------------------------------------------------------------------------


def waits_so_far(database: Any) -> int:
    """Return how often anybody has begun to wait for a bell."""
    return int(database.info("commandstats").get("cmdstat_bzpopmin", {"calls": 0})["calls"])


def test_a_sender_that_does_not_ring_is_heard(scratch: Path, url: str, database: Any) -> None:
    """What another client puts on the list runs, although `polling_interval` is a minute.

    The worker looks each second.
    """
    ini = broker_section(scratch, url) + "polling_interval = 60s\n[worker:a]\nconcurrency = 1\n"
    suite = Suite(scratch, ini, modules="jobs")
    suite.module("jobs", JOBS)
    app: Any = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        looks = waits_so_far(database)
        until(
            lambda: waits_so_far(database) > looks + 5, what="a worker that looks again and again"
        )
        other: Any = Connection(url, transport="kombu.transport.redis:Transport").channel()
        sent = app.send_task("jobs.add", [1, 2])  # for a message as Celery makes it
        assert result_of(sent) == 3
        put_as_is = {"task": "jobs.add", "id": "by-another", "lang": "py", "root_id": "by-another"}
        message = other.prepare_message(
            "[[3, 4], {}, {}]",
            content_type="application/json",
            content_encoding="utf-8",
            headers=put_as_is,
        )
        other.basic_publish(message, exchange="", routing_key="default")
        suite.await_event("worker", "task_succeeded", task_id="by-another")
