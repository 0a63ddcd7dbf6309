"""The bell of a queue: a key of Redis that wakes one of the workers who wait for the queue's messages.

A worker takes by a script, and a script cannot wait. So it waits for the bell, which it may lose, and then looks. Whoever
puts a message on a list rings. A sender that does not know of the bell (Celery's own client) is heard at the next look.
"""

from __future__ import annotations

from typing import Any

from warren.broker.redis_bindings import BELL

#: The one member of the set: however often somebody rings, it holds no more.
_RING = "r"
#: Milliseconds for which a ring is heard. Who waits has looked just before, and hears what was rung since; the bell of a queue
#: that nobody waits for (the answers to a command) must not stay for ever.
_LASTS = 10_000
#: Seconds between two looks at most, whatever `polling_interval` says.
LONGEST = 1.0


def bell_of(queue: str) -> str:
    """Return the key of the queue's bell."""
    return f"{BELL}{queue}"


def waiting_for(bells: list[str], seconds: float) -> list[Any]:
    """Return the command that waits until one of them rings."""
    return ["BZPOPMIN", *bells, seconds]


def ringing(bell: str) -> str:
    """Return the words of a script that ring, with the expression for the bell's key. What they cannot do fails nothing."""
    return f"redis.pcall('ZADD', {bell}, 0, '{_RING}') redis.pcall('PEXPIRE', {bell}, {_LASTS})"


def push(client: Any, key: str, content: str, queue: str) -> None:
    """Put a message on the list, and ring. Raises the error of Redis for the message.

    Its commands go in one packet, and in no transaction: a bell that cannot be rung (a user without the right, a key of another
    type) must not keep the message out, nor have it sent a second time. The message comes first: a worker that is woken
    finds it.
    """
    with client.pipeline(transaction=False) as pipe:
        pipe.lpush(key, content)
        pipe.zadd(bell_of(queue), {_RING: 0})
        pipe.pexpire(bell_of(queue), _LASTS)
        pushed, *_ = pipe.execute(raise_on_error=False)
    if isinstance(pushed, Exception):
        raise pushed
