"""A message for an operator who waits for the import of a task module that takes long."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from warren.system.printable import one_line

#: Seconds of silence after which an operator could think that the command hangs.
PAUSE = 4.0
#: Seconds that the import of the task modules may take when root waits for it.
TIMEOUT = 120.0


@contextmanager
def importing(verb: str, timeout: float = TIMEOUT) -> Iterator[Callable[[str], None]]:
    """Return a context in which task modules are imported.

    The context returns a function. Call the function with the name of each module, before the
    module's import. While an import takes long, a thread prints a line on stderr, because the
    import itself runs foreign code and prints nothing.

    timeout: the seconds that root waits for all imports.
    """
    end, timer = time.time() + timeout, threading.Timer(0, str)

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
    # After the timeout root ends its child (unprivileged_child.py). Other users wait without a
    # limit.
    limited = "WARREN_FOR_ROOT" in os.environ
    until = (
        f"; the command waits until {time.strftime('%H:%M:%S', time.localtime(end))}"
        if limited
        else ""
    )
    with suppress(OSError, ValueError):  # a module may have closed stderr
        click.echo(f"{verb}: the import of {one_line(module)} takes long{until}", err=True)
