"""What is wrong with a Redis as the broker of a suite, and the remedy of each problem.

`look` asks Redis; `advice` is pure. Nothing is changed, because Redis has its own configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from warren.broker.remedies import beginning, remedy
from warren.broker.transport_profiles import ON_REDIS, Kind
from warren.errors import Unavailable
from warren.redaction.masker import redact
from warren.system.printable import one_line


@dataclass(frozen=True)
class RedisState:
    """What Redis has answered; None for what Redis does not tell this user."""

    version: str
    user: str | None
    has_password: bool
    appendonly: bool
    appendfsync: str | None
    snapshots: str | None
    maxmemory: int
    policy: str


def look(url: str) -> RedisState:
    """Return the state of the first Redis among the URLs that answers. Raises Unavailable."""
    failure: Exception | None = None
    for each in url.split(";"):
        client = Redis.from_url(each, **ON_REDIS[Kind.MONITOR].sockets())
        try:
            with client:
                return _state(client, "@" in each)
        except (RedisError, OSError) as error:
            failure = error
    text = one_line(redact(f"{failure}"), 300)
    raise Unavailable(f"{beginning(text)}{text}; {remedy(text)}")


def _state(client: Redis, has_password: bool) -> RedisState:
    info = client.info()
    return RedisState(
        version=str(info.get("redis_version", "")),
        user=_text(client, "ACL", "WHOAMI"),
        has_password=has_password,
        appendonly=bool(info.get("aof_enabled")),
        appendfsync=_text(client, "CONFIG", "GET", "appendfsync"),
        snapshots=_text(client, "CONFIG", "GET", "save"),
        maxmemory=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "noeviction")),
    )


def _text(client: Redis, *command: str) -> str | None:
    """Return the last string of the answer; None when this user may not ask."""
    try:
        said = client.execute_command(*command)  # type: ignore[no-untyped-call]
    except ResponseError:  # NOPERM, or a Redis that has renamed the command
        return None
    if isinstance(said, dict):
        said = list(said.values())
    if isinstance(said, list):
        said = said[-1] if said else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def advice(state: RedisState) -> Iterator[str]:
    """Yield what an operator has to change, each problem with its remedy."""
    if not state.has_password:
        yield (
            "Redis takes commands without a password: everybody who reaches it may run tasks; make "
            "a user: redis-cli ACL SETUSER warren on '>PASSWORD' '~*' '&*' +@all -@dangerous "
            "+info, and put redis://warren:PASSWORD@HOST:6379/0 into [broker] url_file"
        )
    elif state.user == "default":
        yield (
            "the suite uses Redis' user default, who may do everything; make a user of its own: "
            "redis-cli ACL SETUSER warren on '>PASSWORD' '~*' '&*' +@all -@dangerous +info"
        )
    if not state.appendonly:
        kept = f"only snapshots ({state.snapshots})" if state.snapshots else "nothing"
        yield (
            f"Redis keeps {kept} on disk: tasks are lost when Redis is killed; write to "
            "redis.conf: appendonly yes and appendfsync always, and for now: redis-cli CONFIG SET "
            "appendonly yes"
        )
    elif state.appendfsync not in ("always", None):
        yield (
            f"appendfsync is {state.appendfsync}: the tasks of the last second may be lost when "
            "Redis is killed; write to redis.conf: appendfsync always"
        )
    if state.policy != "noeviction":
        yield (
            f"maxmemory-policy is {state.policy}: Redis drops tasks when its memory is full; write "
            "to redis.conf: maxmemory-policy noeviction, and for now: redis-cli CONFIG SET "
            "maxmemory-policy noeviction"
        )
