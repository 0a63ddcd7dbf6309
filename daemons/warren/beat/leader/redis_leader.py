"""The leadership on Redis: a key that expires, renewed at each step.

A second key holds the last ticks.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from warren.beat.last_ticks import KnownTicks, parse
from warren.broker.batch_publish import SinglePublish
from warren.broker.redis.rejected_keys import reject
from warren.broker.transport_profiles import ON_REDIS, Kind
from warren.errors import Unavailable

#: Seconds that a leader on Redis may be silent. The leader renews the key every second; the lease
#: is much longer, so that a late renewal does not lose the leadership.
LEASE = 15.0
#: The most bytes of the last ticks that are read: enough for any number of entries in use.
_LONGEST = 8 * 2**20


class RedisLeader:
    """The leader's key holds the leader's name for LEASE seconds."""

    # A key of another type belongs to no leader, and `get` would fail on it.
    RENEW = """
    if redis.call('type', KEYS[1]).ok ~= 'string' then return 0 end
    return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2])
    """
    RESIGN = """
    if redis.call('type', KEYS[1]).ok ~= 'string' then return 0 end
    return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1])
    """

    #: A beat that no longer leads must not write: the next leader would return to ticks that were
    #: sent long ago.
    KEEP = """
    if redis.call('type', KEYS[1]).ok ~= 'string' then return 0 end
    if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
    redis.call('set', KEYS[2], ARGV[2])
    return 1
    """

    def __init__(self, url: str, leader: str, ticks: str) -> None:
        """Take the names of the leader's key (`leader`) and of the last ticks' key (`ticks`)."""
        self._redis: Redis = Redis.from_url(url, **ON_REDIS[Kind.LEADER].sockets())
        self._leader, self._ticks = leader, ticks
        self._name = secrets.token_hex(16)
        self._until = float("-inf")

    def lead(self) -> bool:
        lease = int(LEASE * 1000)
        asked = time.monotonic()
        if leads := self._lead(lease):
            self._until = asked + LEASE
        return leads

    def _lead(self, lease: int) -> bool:
        with _reached():
            # The server compares and renews in one step: no beat can renew a key that has become
            # another beat's.
            if self._redis.eval(self.RENEW, 1, self._leader, self._name, lease):
                return True
            # A key that does not expire within the lease belongs to no leader, and while it exists
            # no beat could lead. It is moved away. A leader's key always expires within the lease,
            # so this moves no leader's key, even if another beat leads by now.
            reject(
                self._run,
                self._leader,
                "string",
                "expected a leader's name that ends within the lease",
                LEASE,
            )
            return bool(self._redis.set(self._leader, self._name, nx=True, px=lease))

    def recall(self) -> KnownTicks:
        with _reached():
            # When the key is not a text of last ticks, the ticks begin again.
            reject(self._run, self._ticks, "string", "expected the last ticks")
            # Another program may have made the key as large as Redis allows. So the read has a
            # limit; a text that is cut off is not JSON, and `parse` then returns no ticks.
            return parse(self._redis.getrange(self._ticks, 0, _LONGEST) or b"{}")

    def keep(self, known: KnownTicks) -> None:
        with _reached():
            kept = self._redis.eval(
                self.KEEP, 2, self._leader, self._ticks, self._name, known.as_json()
            )
        if not kept:
            raise Unavailable("another beat leads now, because this beat was silent for too long")

    def options(self) -> dict[str, Any]:
        # A beat that was stopped in the midst of a step continues here. Another beat may have sent
        # the rest of that step by now.
        if time.monotonic() >= self._until:
            raise Unavailable(
                f"the leadership was not renewed for {LEASE:g} s: another beat may lead by now"
            )
        return {}

    def batch(self) -> SinglePublish:
        return SinglePublish()

    def wait(self, batch: SinglePublish) -> None:
        """Return at once: the broker has answered for each tick when it was sent."""

    def resign(self) -> None:
        with suppress(RedisError):
            self._redis.eval(self.RESIGN, 1, self._leader, self._name)

    def _run(self, script: str, keys: list[str], *arguments: Any) -> Any:
        return self._redis.eval(script, len(keys), *keys, *arguments)


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise Unavailable(str(error) or type(error).__name__) from error
