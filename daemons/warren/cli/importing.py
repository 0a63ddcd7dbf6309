"""Says which task module a command waits for, once its import takes longer than anybody expects."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from warren.printable import one_line

#: Seconds of silence that nobody takes for a command that hangs.
PAUSE = 4.0
#: Seconds that importing the task modules may take where root waits for it.
PATIENCE = 120.0


@contextmanager
def importing(verb: str, patience: float = PATIENCE) -> Iterator[Callable[[str], None]]:
    """Within it task modules are imported: call what it gives with the name of each before.

    A line on stderr names one that takes long, from a thread: the import itself, anybody's code, says nothing. `patience` is
    the seconds for which root waits.
    """
    end, timer = time.time() + patience, threading.Timer(0, str)

    def begins(module: str) -> None:
        nonlocal timer
        timer.cancel()
        timer = threading.Timer(PAUSE, _tell, (verb, module, end))
        timer.daemon = True
        timer.start()

    try:
        yield begins
    finally:
        timer.cancel()


def _tell(verb: str, module: str, end: float) -> None:
    # Root ends its child then (child.py). Nobody else has a limit.
    limited = "WARREN_FOR_ROOT" in os.environ
    until = f"; it is waited for until {time.strftime('%H:%M:%S', time.localtime(end))}" if limited else ""
    with suppress(OSError, ValueError):  # a module may have closed stderr
        click.echo(f"{verb}: the import of {one_line(module)} takes long{until}", err=True)
