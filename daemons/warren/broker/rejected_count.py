"""The number of messages that no worker could run, on any broker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from warren.broker.queue_depth import depths_over
from warren.broker.queue_names import REJECTED


def rejected_over(connection: Any, state_dir: Path) -> int:
    """Return the number of dead letters, over an open kombu connection.

    Raises the errors of the connection.
    """
    if connection.transport.driver_type != "warren":
        return len(names_in(state_dir / "rejected")) + (
            depths_over(connection, [REJECTED])[REJECTED] or 0
        )
    return rejected_here(state_dir, connection.transport.directory)


def rejected_here(state_dir: Path, broker: Path | None = None) -> int:
    """Return the number of dead letters of the embedded broker, by its directories alone.

    broker: the broker's directory; by default the directory of that name in the state directory.
    """
    directory = (broker or state_dir / "broker") / "rejected"
    return len(names_in(state_dir / "rejected")) + sum(
        len(names_in(directory / queue)) for queue in names_in(directory)
    )


def names_in(directory: Path) -> list[str]:
    """Return the names in a directory except hidden names.

    Returns no names when the directory cannot be listed: a task may have closed it.
    """
    try:
        return [name for name in os.listdir(directory) if not name.startswith(".")]
    except OSError:
        return []
