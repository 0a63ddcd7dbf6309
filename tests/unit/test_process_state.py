"""What a daemon puts back of its process after a task, or a module's import, has changed it."""

from __future__ import annotations

import sys

import pytest

from support.wait import run_to_end

CODE = """
import os, resource
from warren.system.process_state import ProcessState
os.umask(0o27)
before, limits = os.getpriority(0, 0), {{}}
def limit(name):
    return resource.getrlimit(getattr(resource, "RLIMIT_" + name))
def lower(name, soft):
    limits[name] = limit(name)
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (soft, limits[name][1]))
state = ProcessState()
{act}
print(state.restore(), {question})
"""


@pytest.mark.parametrize(
    ("act", "question", "told"),
    [
        ("os.umask(0o777)", "oct(os.umask(0))", "True 0o27"),
        ("lower('CPU', 5)", "limit('CPU') == limits['CPU']", "True True"),
        ("lower('NPROC', 1)", "limit('NPROC') == limits['NPROC']", "True True"),
        ("pass", "os.getpriority(0, 0) == before", "True True"),
        ("os.nice(1)", "os.getpriority(0, 0) == before + 1", "False True"),
    ],
)
def test_what_was_changed_is_put_back(act: str, question: str, told: str) -> None:
    """The limits are restored, or the process is not fit for more tasks.

    Only root gets back what it has given away for good.
    """
    done = run_to_end(
        [sys.executable, "-c", CODE.format(act=act, question=question)], capture_output=True
    )
    assert done.stdout.strip() == told, done.stderr


TOOLS = """
import builtins, os, time
from warren.system.process_state import TOOLS, ProcessState
here, close = open(os.devnull), os.close
state = ProcessState(TOOLS)
def raising(*_, **__):
    raise SystemExit(3)
os.getpid = os.write = os.path.join = time.time = None
os.umask = os.read = builtins.len = builtins.getattr = builtins.open = raising
time.tzname = ("x", "y")
os.own = 5
restored = state.restore()
kept = (os.close is close, time.tzname, os.own)
print(restored, len(os.path.join("a", "b")), os.getpid() > 0, time.time() > 0, *kept)
"""


def test_the_functions_that_all_else_is_made_of_are_put_back() -> None:
    """Whatever a task has put in their place; what is no function stays."""
    done = run_to_end([sys.executable, "-c", TOOLS], capture_output=True)
    assert done.stdout.strip() == "True 3 True True True ('x', 'y') 5", done.stderr
