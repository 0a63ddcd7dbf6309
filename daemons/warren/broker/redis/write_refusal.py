"""The check whether Redis refuses writes for now: full memory or disk, or it became a replica.

Such a Redis accepts connections and answers, but counts as a broker that is away: a client that
waits and tries again will be served. Any other refusal would be the same at each attempt.
"""

from __future__ import annotations

#: The beginnings of Redis's texts for such a refusal. redis-py has classes for two of them.
_BEGINNINGS = ("OOM ", "READONLY ", "MISCONF ", "NOREPLICAS ", "MASTERDOWN ", "BUSY ")
#: redis-py's text before the refusal of a command in a pipeline. The command comes before this
#: text, and may hold any text.
_BEFORE = "caused error: "


def is_refused_write(error: BaseException) -> bool:
    """Return whether Redis may take the same command later."""
    # Only processes that use Redis load its client.
    from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

    if isinstance(error, OutOfMemoryError | ReadOnlyError):
        return True
    return isinstance(error, ResponseError) and str(error).rpartition(_BEFORE)[2].startswith(
        _BEGINNINGS
    )
