"""The take of a message from Redis: one step on the server that removes it and notes its owner.

kombu takes a message by BRPOP and notes it by later commands. In between, the message is only in a
socket. It is lost if the worker, the connection or Redis ends at that moment.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, ResponseError

from warren.broker.payloads import longest, new_tag
from warren.broker.redis.delivery_tags import is_take, take_tag
from warren.broker.redis.lost_messages import LOST
from warren.broker.redis.wakeup_key import bell_of, ringing, waiting_for

#: The bytes that are kept of a message that is longer than the limit.
KEPT = 4096
#: The script takes the last message of the first list that has a message. KEYS: the hash and the
#: index of unacknowledged messages, the lists, the bell of each list's queue. ARGV: a tag, the
#: time, the longest message (0: no limit), the number of lists, and for each list the end of the
#: note; an empty end means no note. The script writes the note first, and removes the message from
#: its list last: a command that Redis refuses ends the script, and what was done before is not
#: undone. The message is then still on its list, and at most a tag in the index is left over. A tag
#: that is noted already keeps its note: otherwise the message of that note could be lost. The
#: script answers with the tag, so that no reader takes the answer for the answer to another take.
#: The script rings again while the list has more messages, because a bell wakes only one worker.
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
# Redis's name for a script, not a secret.
_SHA = hashlib.sha1(_TAKE.encode(), usedforsecurity=False).hexdigest()


class Taken(NamedTuple):
    """A message as it was on its list, or the beginning of a message that is longer than the limit.

    tag: shows whether the message is noted. size: the bytes of the whole message.
    """

    tag: str
    queue: str
    content: bytes
    size: int


class _Request(NamedTuple):
    """A take that was sent.

    It has the tag, the queue of each list with whether its messages are noted, and the script's
    arguments.
    """

    tag: str
    queues: list[tuple[str, bool]]
    arguments: list[Any]


class TakeScript:
    """The requests of one channel to Redis.

    A request is a take or, after a take that found nothing, a wait for the bell.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        #: The take whose answer has not been read; None during a wait, or when nothing was sent.
        self._asked: _Request | None = None
        self._found_nothing = False
        self._whole = False

    @property
    def waits(self) -> bool:
        """Return whether the request is a wait. A wait takes no message."""
        return self._asked is None

    def ask(self, connection: Any, queues: Sequence[str], seconds: float) -> None:
        """Send the next request.

        seconds: the longest time that a wait lasts.
        """
        if self._asked is not None:
            self.broke()  # the answer to the last request was not read
        if self._found_nothing:
            self._found_nothing = False
            prefix = self._channel.global_keyprefix
            connection.send_command(
                *waiting_for([prefix + bell_of(queue) for queue in queues], seconds)
            )
            return
        self._asked = self._request(queues)
        command = ["EVAL", _TAKE] if self._whole else ["EVALSHA", _SHA]
        self._whole = False
        connection.send_command(*command, *self._asked.arguments)

    def answer(self, client: Any, **options: Any) -> Taken | None:
        """Read the answer. Return the message; None when the caller has to send the next request.

        Raises the errors of Redis and of the connection.
        """
        try:
            # redis-py chooses by the name of the command how to convert the answer. With this name
            # it leaves the answer unchanged.
            found = client.parse_response(client.connection, "EVALSHA", **options)
        except self._channel.connection_errors:
            # This calls `broke`, and the next request connects again.
            client.connection.disconnect()
            raise
        except NoScriptError:
            # Redis was restarted, or its scripts were removed. It has run nothing. The next request
            # sends the script as well.
            self._asked, self._whole = None, True
            return None
        except ResponseError:
            # Redis has answered with a refusal, so the message is still on its list.
            self._asked = None
            raise
        if self._is_another_s(found):
            # This is the answer to an earlier request over this connection, which was left unread.
            # If it were taken for the answer to this request, the message would be acknowledged by
            # the tag of another message, which would be lost.
            LOST.add(self._channel.broker, found[0].decode())
            self.broke()
            client.connection.disconnect()
            return None
        asked, self._asked = self._asked, None
        if asked is None:
            return None  # a wait is over; it does not matter whether the bell rang
        self._found_nothing = not found
        return _read(asked, found)

    def _is_another_s(self, found: Any) -> bool:
        if not isinstance(found, list) or not is_take(found[0].decode("utf-8", "replace")):
            return False
        return self._asked is None or found[0].decode() != self._asked.tag

    def now(self, client: Any, queue: str) -> Taken | None:
        """Take a message of the queue at once; return None when the queue is empty."""
        request = self._request([queue])
        try:
            # With EVAL, because kombu's client with a prefix does not change the keys of EVAL.
            return _read(request, client.execute_command("EVAL", _TAKE, *request.arguments))
        except (*self._channel.connection_errors, ResponseError):
            # The refusal may say that the tag was used before: a client that sends again by itself
            # (`retry_on_timeout`) gets this error.
            LOST.add(self._channel.broker, request.tag)
            raise

    def broke(self) -> None:
        """Handle the loss of the connection: the request that was sent over it may have taken a
        message.

        The take is never sent again under the same tag: Redis may still run the first request after
        the second, and there would be one note for two messages. The message under the tag is
        looked for (lost_messages.py), and the next take has a tag of its own.
        """
        if self._asked is not None:
            LOST.add(self._channel.broker, self._asked.tag)
        self._asked, self._found_nothing = None, False

    def _request(self, queues: Sequence[str]) -> _Request:
        channel = self._channel
        prefix, most = channel.global_keyprefix, channel.largest_message
        # The order is kombu's: one priority after the other, and in each priority the queues in
        # rotation.
        lists = [
            (channel._q_for_pri(queue, step), queue)
            for step in channel.priority_steps
            for queue in queues
        ]
        found = [(queue, channel.notes(queue)) for _, queue in lists]
        bells = [bell_of(queue) for queue, _ in found]
        keys = [channel.unacked_key, channel.unacked_index_key, *(key for key, _ in lists), *bells]
        endings = [f',"",{json.dumps(queue)}]' if noted else "" for queue, noted in found]
        # The time is by this host's clock, as in kombu: the search for overdue messages compares it
        # with the time of its own host's clock.
        numbers = [time.time(), longest(most) if most is not None else 0, len(lists)]
        tag = take_tag()
        return _Request(
            tag, found, [len(keys), *(prefix + key for key in keys), tag, *numbers, *endings]
        )


def _read(asked: _Request, found: Any) -> Taken | None:
    if not found:
        return None
    _, number, content, size = found
    queue, noted = asked.queues[number - 1]
    return Taken(asked.tag if noted else new_tag(), queue, content, size)
