"""The check whether Redis refuses writes for now: full memory or disk, or it became a replica.

It accepts connections and answers, and still counts as a broker that is away: a client that waits
and tries again is served later. Any other refusal is the same at each attempt.
"""

from __future__ import annotations

#: The beginnings of Redis's text for such a refusal; redis-py has classes for two of them.
_BEGINNINGS = ("OOM ", "READONLY ", "MISCONF ", "NOREPLICAS ", "MASTERDOWN ", "BUSY ")
#: redis-py's text before them for a command in a pipeline. Before it comes the command, which may
#: hold any text.
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
