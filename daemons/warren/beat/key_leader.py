"""The leadership on Redis: a key that expires, renewed at each turn. The last ticks are a key, too."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from warren.beat.memory import parse
from warren.errors import Unavailable
from warren.events import Event
from warren.log import get

#: Seconds that a leader on Redis may be silent; it renews every second. Long beside the renewal: a late one is no lost one.
LEASE = 15.0
#: Seconds that Redis has for a connection, and for an answer.
ANSWER = 5


#: Bytes of the last ticks that are read: those of more entries than anybody has.
_LONGEST = 8 * 2**20
#: What a script returns that has moved the key away.
_MOVED = -1


class KeyLeader:
    """The leader's key holds the leader's name for LEASE seconds."""

    # What stands there and does not end within the lease is nobody's: no beat would ever lead again. It is moved away.
    RENEW = """
    local kind = redis.call('type', KEYS[1]).ok
    local left = redis.call('pttl', KEYS[1])
    if kind ~= 'none' and (kind ~= 'string' or left < 0 or left > tonumber(ARGV[2])) then
      redis.call('rename', KEYS[1], 'warren.rejected.' .. KEYS[1])
      return -1
    end
    return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2])
    """
    RESIGN = """
    if redis.call('type', KEYS[1]).ok ~= 'string' then return 0 end
    return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1])
    """
    #: The last ticks: another type of key is moved away, and they begin anew.
    RECALL = """
    local kind = redis.call('type', KEYS[1]).ok
    if kind ~= 'none' and kind ~= 'string' then
      redis.call('rename', KEYS[1], 'warren.rejected.' .. KEYS[1])
      return -1
    end
    return redis.call('getrange', KEYS[1], 0, ARGV[1])
    """

    def __init__(self, url: str, leader: str, ticks: str) -> None:
        """`leader` and `ticks` name the two keys."""
        self._redis: Redis = Redis.from_url(url, socket_timeout=ANSWER, socket_connect_timeout=ANSWER)
        self._leader, self._ticks = leader, ticks
        self._name = secrets.token_hex(16)

    def lead(self) -> bool:
        lease = int(LEASE * 1000)
        with _reached():
            # Compared and renewed in one step on the server: nobody renews a key that has become another's.
            renewed = self._redis.eval(self.RENEW, 1, self._leader, self._name, lease)
            if renewed == _MOVED:
                self._tell(self._leader)
                renewed = 0
            return bool(renewed) or bool(self._redis.set(self._leader, self._name, nx=True, px=lease))

    def recall(self) -> dict[str, float]:
        with _reached():
            # Anybody who may write to this Redis may have made it as large as Redis allows. What is cut off is no JSON.
            found = self._redis.eval(self.RECALL, 1, self._ticks, _LONGEST)
            if found == _MOVED:
                self._tell(self._ticks)
                found = b""
            return parse(found or b"{}")

    def keep(self, ticks: dict[str, float]) -> None:
        with _reached():
            self._redis.set(self._ticks, json.dumps(ticks))

    @staticmethod
    def _tell(key: str) -> None:
        reason = "expected what beat has written there, found something else"
        get().error(Event.KEY_REJECTED, key=key, moved_to=f"warren.rejected.{key}", reason=reason)

    def options(self) -> dict[str, Any]:
        return {}

    def resign(self) -> None:
        with suppress(RedisError):
            self._redis.eval(self.RESIGN, 1, self._leader, self._name)


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise Unavailable(str(error) or type(error).__name__) from error
