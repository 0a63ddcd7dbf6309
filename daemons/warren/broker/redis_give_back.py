"""How a message that somebody has taken from Redis, and not acknowledged, goes back to its queue: in one step, once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from warren.broker.redis_bell import bell_of, ringing
from warren.broker.redis_lost import LOST
from warren.broker.redis_tags import is_dead, newest_first, owner_of, tags_here

#: KEYS: the hash of what is unacknowledged, its index, the index of what is due later, then each list and its bell. ARGV:
#: the tag, the length of the note that was read, the message, and at which end it goes on its lists.
#: It pushes first and removes the note last, for nothing is undone when Redis refuses a command. A note of another length
#: is another one: somebody was faster, and somebody has taken the message since.
#: Not by WATCH, as kombu does it: every take and every acknowledgement changes the hash, and on a busy server the
#: transaction would be begun again and again.
_BACK = f"""
local given = 0
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  if redis.call('HSTRLEN', KEYS[1], ARGV[1]) ~= tonumber(ARGV[2]) then return 0 end
  for number = 4, #KEYS, 2 do
    redis.call(ARGV[4], KEYS[number], ARGV[3])
    {ringing("KEYS[number + 1]")}
  end
  redis.call('HDEL', KEYS[1], ARGV[1])
  given = 1
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return given
"""
#: Tags of which the index is asked at a time.
_PAGE = 1000


def put_back(
    client: Any, prefix: str, kept: Iterable[str], lists: Iterable[tuple[str, str]], tag: bytes, note: int, message: str, end: str
) -> bool:
    """Put the message on these lists, each with its queue, and take it off the notes. Return whether it was noted still.

    `kept` are the hash and the two indexes, `note` is the length of the note, `end` is LPUSH or RPUSH.
    """
    keys = [*kept, *(key for own, queue in lists for key in (own, bell_of(queue)))]
    return bool(client.eval(_BACK, len(keys), *(prefix + key for key in keys), tag, note, message, end))


def left_behind(client: Any, index: str, broker: tuple[Any, ...]) -> list[str]:
    """Return the tags of messages that nobody works at, the last one taken first.

    Those of dead processes of this host, and those of this process whose answer it has not read.
    """
    dead: dict[str, bool] = {}
    found = []
    for name, taken_at in client.zscan_iter(index, match=tags_here(), count=_PAGE):
        tag = name.decode("utf-8", "replace")
        owner = owner_of(tag)
        if owner not in dead:
            # Safe, for a process that is dead here is dead for good: its number, its start and the boot are in the tag, so a
            # later process is not taken for it, and one that is stopped, or hidden from this user, counts as alive. Its pool
            # children end with it (the kernel sees to that). What it sent before its death, and Redis runs only later, is noted
            # under the same owner: the next look, a second later, finds it. And a message goes back once, however many look:
            # the script gives back what is noted, and the first one removes the note.
            dead[owner] = is_dead(owner)
        if dead[owner] or LOST.has(broker, tag):
            found.append((tag, taken_at))
    return newest_first(found)
