"""A broker that is away or refuses messages costs time, never a task and never a restart."""

from __future__ import annotations

import time

from support.figures import Figure
from support.installed import Installed
from support.wait import let_pass, until

AWAY, BACK = 60.0, 5.0


def test_a_broker_that_is_away_for_a_minute(suite: Installed, figure: Figure) -> None:
    """No daemon is restarted meanwhile, and tasks run again once the broker takes connections."""
    suite.send(1, 4, 0.2)
    suite.all_done(1, 4)
    before = [
        suite.supervisord(),
        *(suite.pid(program) for program in ("worker-main", "beat", "quota-watchdog")),
    ]
    suite.host.run("systemctl", "stop", "rabbitmq-server")
    let_pass(AWAY)
    suite.host.run("systemctl", "start", "rabbitmq-server", "--no-block")
    until(lambda: _listens(suite), what="RabbitMQ to listen")
    back = time.monotonic()
    until(
        lambda: suite.heartbeat("worker-main").get("state") == "ready",
        what="a worker that consumes",
    )
    figure(
        "broker away for 60 s: consuming again",
        time.monotonic() - back,
        f"<= {BACK:g} s after its return",
    )
    suite.send(5, 8, 0.2)
    suite.all_done(5, 8)
    after = [
        suite.supervisord(),
        *(suite.pid(program) for program in ("worker-main", "beat", "quota-watchdog")),
    ]
    assert after == before


def test_a_disk_alarm_with_a_full_queue(suite: Installed, figure: Figure) -> None:
    """Workers drain the queue although RabbitMQ takes nothing.

    A publisher is told so in bounded time; then all continues.
    """
    suite.stop()
    suite.send(1001, 1200, 0.01)
    suite.host.run("rabbitmqctl", "-q", "set_disk_free_limit", "100000GB")
    until(
        lambda: (
            "disk"
            in suite.host.run("rabbitmqctl", "-q", "status").stdout.split("Alarms", 1)[1][:400]
        ),
        what="the alarm",
    )
    try:
        # Not waited for: beat is not ready as long as the broker does not take its ticks.
        suite.host.run("systemctl", "start", "--no-block", "warren")
        began = time.monotonic()
        suite.all_done(1001, 1200)
        figure(
            "disk alarm: 200 queued tasks done, the start of the suite included",
            time.monotonic() - began,
            "they drain",
        )
        began = time.monotonic()
        refused = suite.host.run("warren", "call", "jobs.run", "1300", check=False)
        figure("disk alarm: a publisher's error", time.monotonic() - began, "bounded")
        assert refused.returncode == 69, refused
        assert "disk" in refused.stderr, refused
        until(
            lambda: "disk" in suite.host.run("warren", "health", "broker", check=False).stdout,
            what="the alarm in warren health",
        )
    finally:
        suite.host.run("rabbitmqctl", "-q", "set_disk_free_limit", "50MB")
    suite.send(1301, 1310)
    suite.all_done(1301, 1310)


def _listens(suite: Installed) -> bool:
    return (
        suite.host.run("sh", "-c", "ss -ltnH sport = :5672 | grep -q .", check=False).returncode
        == 0
    )
