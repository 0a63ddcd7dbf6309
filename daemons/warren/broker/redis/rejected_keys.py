"""The move of a foreign key of Redis to `warren.rejected.KEY`, with a line in the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from warren.broker.redis.bindings import ASIDE
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.printable import one_line

#: The most keys that are kept of one name. A later key replaces the last of them. The search for a
#: free name must not become long when a client plants garbage again and again.
MOST_KEPT = 100
#: Moves KEYS[1] to a free name that begins with KEYS[2]. Does nothing when the key is of the type
#: ARGV[1] and, unless ARGV[2] is empty, ends within ARGV[2] milliseconds. This is one step on the
#: server: one process moves the key, and logs the move.
_REJECT = f"""
local kind, left = redis.call('TYPE', KEYS[1]).ok, redis.call('PTTL', KEYS[1])
local ends = ARGV[2] == '' or (left >= 0 and left <= tonumber(ARGV[2]))
if kind == 'none' or (kind == ARGV[1] and ends) then return false end
local name, number = KEYS[2], 0
while number < {MOST_KEPT - 1} and redis.call('EXISTS', name) == 1 do
  number = number + 1
  name = KEYS[2] .. '.' .. number
end
redis.call('RENAME', KEYS[1], name)
return {{kind, name}}
"""


class Moved(NamedTuple):
    """The type of a moved key, and its present name."""

    kind: str
    name: str


def reject(
    run: Callable[..., Any], key: str, kind: str, expected: str, longest: float | None = None
) -> Moved | None:
    """Move the key unless it is of the type `kind` and ends in time.

    longest: the most seconds until the key must end; None: it need not end. run: runs a script on
    the server, as `run(script, keys, *arguments)`. Logs the move. Returns None when the key is as
    it should be, or missing.
    """
    within = "" if longest is None else str(int(longest * 1000))
    found = run(_REJECT, [key, ASIDE + key], kind, within)
    if not found:
        return None
    moved = Moved(*(part.decode("utf-8", "replace") for part in found))
    tell(key, moved.name, f"{expected}, found a {moved.kind}")
    return moved


def tell(key: str, moved_to: str, reason: str) -> None:
    """Log which key was moved where, and why."""
    logger().error(
        Event.KEY_REJECTED, key=one_line(key, 300), moved_to=one_line(moved_to, 300), reason=reason
    )
