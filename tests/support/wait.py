"""Waiting: the only ways in which a test lets time pass.

Each has a deadline, and none can be short.

A deadline is there to end a test that would wait for ever. It says nothing about how fast Warren
is: on a machine that is busy everything takes ten times as long. What has to be fast is measured,
and noted with the fixture `figure` beside its goal.

    until(lambda: path.exists(), what="the file")      a condition
    result_of(app.send_task("jobs.add", [1, 2]))       a task
    run_to_end(["warren", "--version"])                a command, to its end
    end_of(process), output_of(process)                a process that was started before
    with deadline("the answer") as seconds: ...        anything else that takes a number of seconds
    let_pass(3)                                        nothing: something else may not happen
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

#: Seconds that a test waits for what must come: with a load of 10 on 2 processors what takes 10 s
#: takes a minute.
TIMEOUT = 180.0
#: No deadline may be shorter.
SHORTEST = 60.0


class Waited(NamedTuple):
    """One wait: for what, for how many seconds, and how many it could have had."""

    what: str
    took: float
    within: float


#: Every wait since somebody emptied this list: the table of the run is made of them.
waits: list[Waited] = []


@contextmanager
def deadline(what: str, within: float = TIMEOUT) -> Iterator[float]:
    """Notes how long the block takes beside its deadline.

    Yields the deadline; the block must keep to it.
    """
    assert within >= SHORTEST, (
        f"deadline: expected {SHORTEST:g} s or more for {what}, found {within:g} s; leave it out, "
        f"it is {TIMEOUT:g} s then. What has to be fast is measured: see the fixture figure"
    )
    began = time.monotonic()
    try:
        yield within
    finally:
        waits.append(Waited(what, time.monotonic() - began, within))


def until(
    condition: Callable[[], T],
    within: float = TIMEOUT,
    what: str = "the condition",
    every: float = 0.02,
) -> T:
    """The first true value of `condition`; fails when there is none `within` so many seconds.

    It looks `every` so many.
    """
    with deadline(what, within):
        end = time.monotonic() + within
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"expected {what} within {within:g} s, found {value!r}")
            time.sleep(every)


def let_pass(seconds: float) -> None:
    """Lets time pass in which something must not happen.

    Never to wait for what does happen: see `until`.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(left)


def result_of(task: Any, within: float = TIMEOUT, **options: Any) -> Any:
    """What a task (a result of Celery's) gives, or the error that it raises."""
    with deadline(f"the result of {task.id}", within) as seconds:
        return task.get(timeout=seconds, **options)


def run_to_end(
    arguments: Sequence[str | PathLike[str]], within: float = TIMEOUT, **options: Any
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run`, with a deadline, and with text."""
    with deadline(" ".join(map(str, arguments))[:80], within) as seconds:
        return subprocess.run(
            arguments, timeout=seconds, **{"check": False, "text": True, **options}
        )


def end_of(process: subprocess.Popen[Any], within: float = TIMEOUT) -> int:
    """The exit code of a process, once it has ended."""
    with deadline(f"the end of {_name(process)}", within) as seconds:
        return process.wait(seconds)


def output_of(
    process: subprocess.Popen[Any], given: Any = None, within: float = TIMEOUT
) -> tuple[Any, Any]:
    """What a process has printed when it has ended: `Popen.communicate`, with a deadline."""
    with deadline(f"the end of {_name(process)}", within) as seconds:
        return process.communicate(given, timeout=seconds)


def _name(process: subprocess.Popen[Any]) -> str:
    return (
        " ".join(map(str, process.args))[:80]
        if isinstance(process.args, list | tuple)
        else str(process.args)[:80]
    )
