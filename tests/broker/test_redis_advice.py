"""`warren broker init` on Redis: it looks, tells each remedy, and changes nothing."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest
from redis import Redis

from support.servers import free_port, redis_server_at
from support.suite import Suite, broker_section
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.broker.redis.redis_advice import RedisState, advice
from warren.cli import main
from warren.config import load
from warren.errors import ExitCode

BARE = RedisState("7", "default", False, True, "always", "", 0, "noeviction")
PORT_URL = "redis://{user}:{password}@127.0.0.1:{port}/0"


def settings(scratch: Path, url: str) -> list[str]:
    """The words of a command for a suite with this URL."""
    etc = scratch / "etc"
    etc.mkdir()
    names = "".join(f"{name}_dir = {scratch / name}\n" for name in ("state", "log", "run"))
    (etc / "warren.ini").write_text(f"[app]\n{names}[broker]\nurl_file = {etc}/url\n")
    (etc / "url").write_text(url)
    (etc / "url").chmod(0o600)
    return ["--config", str(etc), "broker", "init", "--json"]


def test_a_redis_that_loses_tasks(
    redis_url: str, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """User, persistence and eviction are told, with the remedies; the code says so."""
    client = Redis.from_url(redis_url)
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert main(settings(scratch, redis_url)) == ExitCode.FAILURE
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
    finally:
        client.config_set("maxmemory-policy", "noeviction")
    said = json.loads(capsys.readouterr().out)
    user, persistence, eviction = said["warnings"]
    assert "ACL SETUSER warren" in user
    assert "Redis keeps nothing on disk" in persistence
    assert "maxmemory-policy noeviction" in eviction


def test_a_good_redis(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the remedies applied nothing is said, also where the user may not ask all.

    The user of the remedy may do what the command asks.
    """
    port, password = free_port(), secrets.token_hex(8)
    lines = (
        "appendonly yes",
        "appendfsync always",
        f"user warren on >{password} ~* &* +@all -@dangerous +info",
    )
    with redis_server_at(scratch, port, secrets.token_hex(8), *lines):
        url = PORT_URL.format(user="warren", password=password, port=port)
        assert main(settings(scratch, url)) == ExitCode.OK, capsys.readouterr()
    assert json.loads(capsys.readouterr().out) == {
        "kind": "redis",
        "changed": False,
        "warnings": [],
    }


def test_the_suite_works_with_the_user_of_the_remedy(scratch: Path) -> None:
    """The rights that the remedy gives are enough for a worker, a result, a delay and beat."""
    port, password = free_port(), secrets.token_hex(8)
    rules = next(advice(BARE)).partition("ACL SETUSER warren on '>PASSWORD' ")[2]
    rights = rules.partition(", and")[0].replace("'", "")
    (server := scratch / "server").mkdir()
    user = f"user warren on >{password} {rights}"
    with redis_server_at(server, port, secrets.token_hex(8), user):
        url = PORT_URL.format(user="warren", password=password, port=port)
        ini = "[worker:a]\n[schedule:tick]\ntask = jobs.add\nargs = [1, 1]\nevery = 1s\n"
        suite = Suite(scratch, f"{broker_section(scratch, url)}{ini}", modules="jobs")
        suite.module(
            "jobs",
            "from celery import shared_task\n@shared_task(name='jobs.add')\ndef add(a, b):\n"
            "    return a + b\n",
        )
        with suite.running("worker", "a"), suite.running("beat"):
            app = make_app(load(suite.etc))
            assert result_of(app.send_task("jobs.add", [1, 2], countdown=2)) == 3
            until(lambda: len(suite.logged("worker", "task_succeeded")) > 2, what="ticks that ran")
        assert not [line for line in suite.log("worker") if "NOPERM" in str(line)]


def test_a_redis_that_does_not_answer(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error has a remedy and no password."""
    url = PORT_URL.format(user="warren", password="hidden-word", port=free_port())
    assert main(settings(scratch, url)) == ExitCode.UNAVAILABLE
    said = capsys.readouterr().err
    assert "the broker does not answer" in said
    assert "hidden-word" not in said
