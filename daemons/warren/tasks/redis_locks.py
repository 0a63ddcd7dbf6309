"""Locks on Redis: one key for each, which expires unless its holder renews it.

Each step is one script, so one round trip. Times are those of Redis: no host's clock matters.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from warren.broker.transport_profiles import ON_REDIS, Kind
from warren.redaction.masker import redact
from warren.tasks import lock_line, lock_renewal
from warren.tasks.lock_interface import Done, Grant, NoLockStore, Refused
from warren.tasks.lock_key import Key
from warren.tasks.lock_line import Holder

#: Seconds after which the lock of a dead or silent holder is free. A lock is to be free within 10 s
#: of a death; the last renewal may have been on its way then.
LEASE = 9.0

# A take that is repeated, because its answer was lost, finds its own lock. A token is never given
# twice, and grows: also when Redis has lost its data, unless its clock was set back at that time.
_TAKE = """
local found = redis.call('get', KEYS[1])
if found then
  if string.find(found, 'L ' .. ARGV[1] .. ' ', 1, true) == 1 then return {1, found, 0} end
  return {0, found, redis.call('pttl', KEYS[1])}
end
local now = redis.call('time')
local token = now[1] * 1000000 + now[2]
local last = tonumber(redis.call('get', KEYS[2]) or '0') or 0
if token <= last then token = last + 1 end
token = string.format('%.0f', token)
redis.call('set', KEYS[2], token)
local line = 'L ' .. ARGV[1] .. ' ' .. token .. ' ' .. now[1] .. '.' ..
  string.format('%06d', now[2]) .. ' ' .. ARGV[2]
redis.call('set', KEYS[1], line, 'px', ARGV[3])
return {1, line, 0}
"""
_RENEW = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('pexpire', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('del', KEYS[1])
"""
# A lock that has expired, and that nobody has taken since, still counts: this is the only run.
_FINISH = """
local found = redis.call('get', KEYS[1])
if found and string.sub(found, 2, #ARGV[1]) ~= string.sub(ARGV[1], 2) then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])
return 1
"""


class RedisLocks:
    """The locks of one app in one database of Redis."""

    def __init__(self, url: str, app: str) -> None:
        # One repetition: the connection may have been idle while Redis was started again.
        self._redis: Redis = Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
            encoding_errors="replace",
            **ON_REDIS[Kind.RESULTS].sockets(),
        )
        self._prefix = f"warren.lock.{app}"
        texts = {"take": _TAKE, "renew": _RENEW, "release": _RELEASE, "finish": _FINISH}
        self._scripts = {name: self._redis.register_script(text) for name, text in texts.items()}

    def take(self, key: Key, note: str) -> Grant | Refused | Done:
        """Take the lock if it is free. Raises NoLockStore."""
        owner, asked = secrets.token_hex(16), _now()
        name = f"{self._prefix}.{key.digest}"
        keys = [name, f"{self._prefix}.token"]
        taken, text, left = self.step("take", keys, owner, note, int(LEASE * 1000))
        line = lock_line.parse(text)
        if taken and line is not None:
            return RedisGrant(self, name, text, line.token, asked + LEASE)
        if line is not None and line.done:
            return Done(line.holder, line.result)
        # Another program's value without an expiry has no time after which it is free.
        again = left / 1000 if left >= 0 else LEASE
        return Refused(line.holder if line else Holder(), again)

    def step(self, script: str, keys: list[str], *arguments: Any) -> Any:
        """Run a script in one round trip. Raises NoLockStore."""
        with _reached():
            return self._scripts[script](keys=keys, args=arguments)


class RedisGrant:
    """A lock on Redis that this process has taken, and that a thread renews.

    until: the time of CLOCK_BOOTTIME until which the lock is this process's for certain. It counts
    from the moment before Redis was asked, so it ends before the lock expires on Redis.
    """

    def __init__(self, locks: RedisLocks, name: str, line: str, token: int, until: float) -> None:
        self.token = token
        self._locks, self._name, self._line = locks, name, line
        self._until, self._lost, self._pid = until, False, os.getpid()
        lock_renewal.add(self)

    @property
    def held(self) -> bool:
        """Whether this process still holds the lock."""
        # A process that was stopped for longer than the lease sees the time before any renewal.
        if _now() >= self._until:
            self._lost = True
        return not self._lost and os.getpid() == self._pid

    def renew(self) -> None:
        """Renew the lock if this process still holds it. Raises NoLockStore."""
        asked = _now()
        if self.held:
            arguments = (self._line, int(LEASE * 1000))
            if self._locks.step("renew", [self._name], *arguments):
                self._until = asked + LEASE
            else:
                self._lost = True

    def release(self) -> bool:
        """Release the lock. Return False when the lock was lost before. Raises NoLockStore."""
        return self._end("release")

    def finish(self, result: str, keep: float) -> bool:
        """Note the result for `keep` seconds. Return False when the lock was lost before."""
        return self._end("finish", lock_line.done(self._line, result), int(keep * 1000))

    def _end(self, script: str, *arguments: Any) -> bool:
        if os.getpid() != self._pid:  # a forked process ends the same block; the lock is not its
            return True
        lock_renewal.remove(self)
        return bool(self._locks.step(script, [self._name], self._line, *arguments))


def _now() -> float:
    """Return seconds of a clock that counts the time of a suspended host as well."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        why = redact(str(error)) or type(error).__name__
        raise NoLockStore(f"the Redis of locks cannot be used: {why}; try again later") from error
