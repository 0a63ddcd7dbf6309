"""The move of garbage out of the keys in which kombu keeps bindings and messages.

Any client that may write to the database can put content there that is neither a binding nor a
message. kombu reads these keys for each message that is sent, taken or requeued. Content that kombu
cannot read raises an error in every sender, or ends every worker. So garbage is moved, unchanged,
to `warren.rejected.KEY`, in one step on the server. Exactly one process moves it, and logs the
move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from redis.exceptions import ResponseError

from warren.broker.redis.bindings import ASIDE
from warren.broker.redis.rejected_keys import reject, tell
from warren.system.printable import one_line

#: Moves field ARGV[1] of hash KEYS[1] to hash KEYS[2], and removes it from the index KEYS[3].
_FIELD = """
local value = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if not value then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], value)
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
#: The result when this user may not run the script: 0, as if the script had moved nothing.
_NOT_ALLOWED = 0
#: The most members of a set that one command moves.
_AT_ONCE = 500
_MEMBERS = """
local moved = 0
for _, member in ipairs(ARGV) do moved = moved + redis.call('SMOVE', KEYS[1], KEYS[2], member) end
return moved
"""


class KeyCleanup:
    """The keys of one channel's database.

    kombu's `global_keyprefix` comes before each key.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def again(
        self, types: Mapping[str, str], do: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        """Call `do`, and call it a second time if one of these keys was of another type and was
        moved.
        """
        try:
            return do(*arguments, **options)
        except ResponseError as error:
            if not self.refuse_types(error, types):
                raise
            return do(*arguments, **options)

    def refuse_types(self, error: Exception, types: Mapping[str, str]) -> bool:
        """Move each of these keys that has another type, after Redis has refused a command for it.

        Returns whether the command is worth another attempt: every key now has its type, perhaps
        because another process has moved the wrong key. Returns False for another error, and for a
        user who may not move the keys.
        """
        if "WRONGTYPE" not in str(error):  # the text of a pipeline begins with its command
            return False
        allowed = [self._reject(key, kind, f"expected a {kind}") for key, kind in types.items()]
        return all(allowed)

    def refuse_lock(self, key: str, longest: float) -> None:
        """Move a lock that does not end within `longest` seconds.

        With such a lock no message of a dead worker would come back.
        """
        self._reject(key, "string", "expected a lock that ends", longest)

    def _reject(self, key: str, kind: str, expected: str, longest: float | None = None) -> bool:
        """Move a key of another type; return False when this user may not move it."""
        try:
            reject(self._eval, key, kind, expected, longest)
        except ResponseError:
            return False
        return True

    def refuse_members(self, key: str, members: list[bytes]) -> None:
        """Move members of an exchange's set that are not bindings."""
        moved = 0
        for start in range(0, len(members), _AT_ONCE):
            moved += self._run(_MEMBERS, [key, ASIDE + key], *members[start : start + _AT_ONCE])
        if moved:
            shown = one_line(members[0][:100].decode("utf-8", "replace"))
            tell(
                key,
                ASIDE + key,
                f"expected bindings, found {moved} that are none, among them {shown}",
            )

    def refuse_field(self, key: str, index: str, field: bytes, reason: str) -> None:
        """Move an entry that is not an unacknowledged message out of the hash of these messages."""
        if self._run(_FIELD, [key, ASIDE + key, index], field):
            tell(
                key,
                ASIDE + key,
                f"{reason}; the entry is {one_line(field[:100].decode('utf-8', 'replace'))}",
            )

    def _run(self, script: str, keys: Iterable[str], *arguments: Any) -> Any:
        try:
            return self._eval(script, keys, *arguments)
        except ResponseError:
            # This user may not do that, or Redis takes no writes. The error of the command says so.
            return _NOT_ALLOWED

    def _eval(self, script: str, keys: Iterable[str], *arguments: Any) -> Any:
        names = [self._channel.global_keyprefix + key for key in keys]
        with self._channel.conn_or_acquire() as client:
            return client.eval(script, len(names), *names, *arguments)
