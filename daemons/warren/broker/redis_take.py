"""How a message is taken from Redis: in one step on the server, which takes it off its list and notes who has it.

kombu takes a message by BRPOP and notes it by later commands. In between it is in a socket alone, and whatever ends there
loses it: the worker, the connection, Redis.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, ResponseError

from warren.broker.payloads import longest, new_tag
from warren.broker.redis_bell import bell_of, ringing, waiting_for
from warren.broker.redis_lost import LOST
from warren.broker.redis_tags import is_take, take_tag

#: Bytes of a message that is too long which are kept.
KEPT = 4096
#: Takes the last message of the first list that has one. KEYS: the hash and the index of what is unacknowledged, the lists,
#: the bell of each list's queue. ARGV: a tag, the time, the longest message (0: no limit), how many lists, and for each
#: list what ends the note: nothing where none is wanted.
#: It notes first and takes the message off its list last. A command that Redis refuses ends the script, and nothing that
#: it did before is undone: then the message is on its list still, and what is left behind is at most a tag in the index.
#: A tag that is noted already keeps its note: were it another message's, that one would be lost.
#: It answers with the tag, so that nobody takes the answer for another one's.
#: It rings again while the list has more, for a bell wakes one worker only.
_TAKE = f"""
local tag, now, most, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
for number = 1, count do
  local list = KEYS[2 + number]
  local message = redis.call('LINDEX', list, -1)
  if message then
    local size, ending = #message, ARGV[4 + number]
    local note
    if most > 0 and size > most then
      message = string.sub(message, 1, {KEPT})
      note = 'too long: ' .. message
    else
      note = '[' .. message .. ending
    end
    if ending ~= '' then
      redis.call('ZADD', KEYS[2], 'NX', now, tag)
      if redis.call('HSETNX', KEYS[1], tag, note) == 0 then
        return redis.error_reply('ERR the tag of a take was used before')
      end
    end
    redis.call('RPOP', list)
    if redis.call('EXISTS', list) == 1 then {ringing("KEYS[2 + count + number]")} end
    return {{tag, number, message, size}}
  end
end
return false
"""
_SHA = hashlib.sha1(_TAKE.encode(), usedforsecurity=False).hexdigest()  # Redis' name for a script, no secret


class Taken(NamedTuple):
    """A message as it stood on its list, or the beginning of one that is too long. The tag tells whether it is noted."""

    tag: str
    queue: str
    content: bytes
    size: int


class _Question(NamedTuple):
    """A take that was asked for: its tag, the queue of each list, whether it is noted, and the words of the script."""

    tag: str
    queues: list[tuple[str, bool]]
    words: list[Any]


class Take:
    """The question of one channel to Redis: a take, or after one that found nothing a wait for the bell."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        #: The take whose answer has not been read; None for a wait, or when nothing was asked.
        self._asked: _Question | None = None
        self._found_nothing = False
        self._whole = False

    @property
    def waits(self) -> bool:
        """Whether the question is a wait, which takes nothing."""
        return self._asked is None

    def ask(self, connection: Any, queues: Sequence[str], seconds: float) -> None:
        """Send the next question. A wait lasts so many seconds at most."""
        if self._asked is not None:
            self.broke()  # nobody has read the answer to the last one
        if self._found_nothing:
            self._found_nothing = False
            prefix = self._channel.global_keyprefix
            connection.send_command(*waiting_for([prefix + bell_of(queue) for queue in queues], seconds))
            return
        self._asked = self._question(queues)
        command = ["EVAL", _TAKE] if self._whole else ["EVALSHA", _SHA]
        self._whole = False
        connection.send_command(*command, *self._asked.words)

    def answer(self, client: Any, **options: Any) -> Taken | None:
        """Read the answer. Return the message, or None: ask again. Raises the errors of Redis and of the connection."""
        try:
            # The name of the command picks what redis-py makes of the answer: this one leaves it as it is.
            found = client.parse_response(client.connection, "EVALSHA", **options)
        except self._channel.connection_errors:
            client.connection.disconnect()  # which calls `broke`; the next question connects anew
            raise
        except NoScriptError:
            # Redis was restarted, or somebody has removed its scripts. It has run nothing: the next question brings it along.
            self._asked, self._whole = None, True
            return None
        except ResponseError:
            self._asked = None  # Redis has answered: whatever it refused, the message is on its list
            raise
        if self._is_another_s(found):
            # It was asked before over this connection, and its answer left unread. Taken for this one's, the message would
            # be acknowledged by the tag of another one, which would be lost.
            LOST.add(self._channel.broker, found[0].decode())
            self.broke()
            client.connection.disconnect()
            return None
        asked, self._asked = self._asked, None
        if asked is None:
            return None  # a wait is over; whether it rang does not matter
        self._found_nothing = not found
        return _read(asked, found)

    def _is_another_s(self, found: Any) -> bool:
        if not isinstance(found, list) or not is_take(found[0].decode("utf-8", "replace")):
            return False
        return self._asked is None or found[0].decode() != self._asked.tag

    def now(self, client: Any, queue: str) -> Taken | None:
        """Take a message of the queue at once, or None."""
        question = self._question([queue])
        try:
            # EVAL, whose keys kombu's client with a prefix leaves alone.
            return _read(question, client.execute_command("EVAL", _TAKE, *question.words))
        except (*self._channel.connection_errors, ResponseError):
            # Also when Redis says that the tag was used: a client that sends again by itself (`retry_on_timeout`) is told so.
            LOST.add(self._channel.broker, question.tag)
            raise

    def broke(self) -> None:
        """The connection is gone: what was asked over it may have been taken.

        Never asked again under the same tag. Redis may still run the first question, after the second one, and both would
        mean one note. What the tag has come to is looked for (redis_lost.py), and the next take has a tag of its own.
        """
        if self._asked is not None:
            LOST.add(self._channel.broker, self._asked.tag)
        self._asked, self._found_nothing = None, False

    def _question(self, queues: Sequence[str]) -> _Question:
        channel = self._channel
        prefix, most = channel.global_keyprefix, channel.largest_message
        # In kombu's order: a priority before the next one, and in each the queues by their turn.
        lists = [(channel._q_for_pri(queue, step), queue) for step in channel.priority_steps for queue in queues]
        found = [(queue, channel.notes(queue)) for _, queue in lists]
        bells = [bell_of(queue) for queue, _ in found]
        keys = [channel.unacked_key, channel.unacked_index_key, *(key for key, _ in lists), *bells]
        endings = [f',"",{json.dumps(queue)}]' if noted else "" for queue, noted in found]
        # A time of this host's clock, as kombu's: the look for what is overdue compares it with that of its own.
        numbers = [time.time(), longest(most) if most is not None else 0, len(lists)]
        tag = take_tag()
        return _Question(tag, found, [len(keys), *(prefix + key for key in keys), tag, *numbers, *endings])


def _read(asked: _Question, found: Any) -> Taken | None:
    if not found:
        return None
    _, number, content, size = found
    queue, noted = asked.queues[number - 1]
    return Taken(asked.tag if noted else new_tag(), queue, content, size)
