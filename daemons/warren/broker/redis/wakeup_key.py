"""The bell of a queue: a key of Redis that wakes one of the workers that wait for its messages.

A worker takes a message by a script, and a script cannot wait. So the worker waits for the bell,
and then looks; it looks also when it has missed a ring. Each sender that puts a message on a list
rings the bell. A sender that does not know the bell (Celery's own client) does not ring; its
message is found at the next look.
"""

from __future__ import annotations

from typing import Any

from warren.broker.redis.bindings import BELL

#: The only member of the set: however many senders ring, the set does not grow.
_RING = "r"
#: Milliseconds for which a ring lasts. A waiting worker has looked just before, and gets each later
#: ring. The bell of a queue without waiting workers (the replies to a command) must not stay for
#: ever.
_LASTS = 10_000
#: The most seconds between two looks, whatever `polling_interval` says.
LONGEST = 1.0


def bell_of(queue: str) -> str:
    """Return the key of the queue's bell."""
    return f"{BELL}{queue}"


def waiting_for(bells: list[str], seconds: float) -> list[Any]:
    """Return the command that waits until one of the bells rings."""
    return ["BZPOPMIN", *bells, seconds]


def ringing(bell: str) -> str:
    """Return the commands of a script that ring the bell. A failure of these commands has no
    effect.

    bell: the script's expression for the key of the bell.
    """
    return f"redis.pcall('ZADD', {bell}, 0, '{_RING}') redis.pcall('PEXPIRE', {bell}, {_LASTS})"


def push(client: Any, key: str, content: str, queue: str) -> None:
    """Put a message on the list, and ring the bell. Raises the error of Redis for the message.

    Both commands go in one packet, without a transaction. When a bell cannot be rung (a user
    without the right, a key of another type), the message must neither be refused nor be sent a
    second time. The message comes first, so that a worker that is woken finds it.
    """
    with client.pipeline(transaction=False) as pipe:
        pipe.lpush(key, content)
        pipe.zadd(bell_of(queue), {_RING: 0})
        pipe.pexpire(bell_of(queue), _LASTS)
        pushed, *_ = pipe.execute(raise_on_error=False)
    if isinstance(pushed, Exception):
        raise pushed
