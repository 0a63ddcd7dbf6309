"""What Redis refuses for now, told from what it refuses for good."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from warren.broker.redis.write_refusal import is_refused_write

SCRIPT = (
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to "
    "disk."
)


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        ReadOnlyError("You can't write against a read only replica."),
        ResponseError(SCRIPT),
        ResponseError(f"Command # 1 (SETEX key 5 x) of pipeline caused error: {SCRIPT}"),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
        ResponseError(
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
        ),
    ],
)
def test_a_refused_write_may_be_tried_again(error: Exception) -> None:
    """Also the one of a command in a pipeline."""
    assert is_refused_write(error)


@pytest.mark.parametrize(
    "error",
    [
        ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
        ResponseError("NOPERM this user has no permissions"),
        ResponseError(
            "Command # 1 (SETEX key 5 caused error by: MISCONF ) of pipeline caused error: ERR no"
        ),
        RedisConnectionError("Connection refused"),
        ValueError("OOM "),
    ],
)
def test_any_other_error_is_the_same_each_time(error: Exception) -> None:
    """Whatever the command that failed has in it."""
    assert not is_refused_write(error)
