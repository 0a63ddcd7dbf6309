"""The requeue of a taken, unacknowledged message on Redis: in one step, and only once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from warren.broker.redis.delivery_tags import is_dead, newest_first, owner_of, tags_here
from warren.broker.redis.lost_messages import LOST
from warren.broker.redis.wakeup_key import bell_of, ringing

#: KEYS: the hash of unacknowledged messages, its index, the index of messages that are due later,
#: then each list and its bell. ARGV: the tag, the length of the note that was read, the message,
#: and the command that puts the message at one end of the lists. The script first pushes and
#: removes the note last, because Redis undoes nothing when it refuses a command. A note of another
#: length is another note: another process has requeued the message, and it was taken since.
#: kombu requeues with WATCH. The script does not: every take and every acknowledgement changes the
#: hash, and on a busy server the transaction would start again and again.
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
#: The number of tags for which the index is asked at a time.
_PAGE = 1000


def put_back(
    client: Any,
    prefix: str,
    kept: Iterable[str],
    lists: Iterable[tuple[str, str]],
    tag: bytes,
    note: int,
    message: str,
    end: str,
) -> bool:
    """Put the message on these lists, and remove its note. Return whether the note was still there.

    kept: the hash and the two indexes. lists: each list with its queue. note: the length of the
    note. end: LPUSH or RPUSH.
    """
    keys = [*kept, *(key for own, queue in lists for key in (own, bell_of(queue)))]
    return bool(
        client.eval(_BACK, len(keys), *(prefix + key for key in keys), tag, note, message, end)
    )


def left_behind(client: Any, index: str, broker: tuple[Any, ...]) -> list[str]:
    """Return the tags of messages that no process runs, the tag of the last take first.

    These are the tags of dead processes of this host, and the tags of takes whose answer this
    process has not read.
    """
    dead: dict[str, bool] = {}
    found = []
    for name, taken_at in client.zscan_iter(index, match=tags_here(), count=_PAGE):
        tag = name.decode("utf-8", "replace")
        owner = owner_of(tag)
        if owner not in dead:
            # This is safe, because a process that is dead here is dead for good. Its number, its
            # start and the boot are in the tag, so a later process is not taken for it. A process
            # that is stopped, or hidden from this user, counts as alive. Its pool children end with
            # it (the kernel ensures that). Redis may run a command of the dead process only after
            # its death. The message is then noted under the same owner, and the next look, a second
            # later, finds the note. And a message is requeued once, however many processes look:
            # the script requeues only a noted message, and the first process removes the note.
            dead[owner] = is_dead(owner)
        if dead[owner] or LOST.has(broker, tag):
            found.append((tag, taken_at))
    return newest_first(found)
