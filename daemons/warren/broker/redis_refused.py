"""Whether Redis refuses writes for now: its memory or its disk is full, or it has become a replica.

It takes connections and answers, and yet it is a broker that is away: whoever waits and tries again is served later. Any
other refusal is the same one at each trial.
"""

from __future__ import annotations

#: The first words of what Redis says then; redis-py has classes for two of them.
_WORDS = ("OOM ", "READONLY ", "MISCONF ", "NOREPLICAS ", "MASTERDOWN ", "BUSY ")
#: What redis-py puts before them for a command in a pipeline. The command is shown before it, whose words are anybody's.
_BEFORE = "caused error: "


def is_refused_write(error: BaseException) -> bool:
    """Return whether Redis may take the same command later."""
    from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError  # only those who use Redis load it

    if isinstance(error, OutOfMemoryError | ReadOnlyError):
        return True
    return isinstance(error, ResponseError) and str(error).rpartition(_BEFORE)[2].startswith(_WORDS)
