"""What a task may do to its process.

The worker logs it, runs the next tasks, answers, and stops cleanly.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from support.suite import Suite, descendants
from support.wait import until
from warren.app.factory import make_app
from warren.config import load

PLAIN = 20
#: The errors of tasks whose results are none.
UNKEPT = ("EncodeError", "TooLargeResult")
DEADLINE = 180

JOBS = """
import ctypes, gc, logging, logging.config, os, resource, signal, subprocess, sys, threading, time
import asyncio, decimal, json, locale, multiprocessing, socket, warnings
from concurrent.futures import ProcessPoolExecutor
from billiard.process import current_process as process
from celery import shared_task

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

@shared_task(name="jobs.give")
def give(expression):
    itself, abyss = [], []
    itself.append(itself)
    for _ in range(100_000):
        abyss = [abyss]
    return eval(expression, {**globals(), "itself": itself, "abyss": abyss})

@shared_task(name="jobs.act")
def act(code, path):
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\\\\n")
    exec(code, {**globals(), "path": path})
    return "returned"

class Bad(BaseException):
    def __init__(self, a, b):  # can be written and not be read: that takes two arguments
        super().__init__()

class Mute(Exception):
    def __repr__(self):
        raise RuntimeError
    __str__ = __repr__

class Stuck(Exception):
    def __reduce__(self):
        raise RuntimeError

class Bare(Exception):
    @property
    def args(self):
        raise RuntimeError

def square(number):
    return number * number
""".replace("\\\\n", "\\n")

#: Ways to leave the process: each is counted like a lost process, and the task has failed after
#: five.
LEAVING = {
    "sys.exit": "sys.exit(3)",
    "SystemExit": "raise SystemExit(object())",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "os._exit 0": "os._exit(0)",
    "abort": "os.abort()",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)",
    "SIGHUP": "os.kill(os.getpid(), signal.SIGHUP); time.sleep(30)",
    "SIGQUIT": "os.kill(os.getpid(), signal.SIGQUIT); time.sleep(30)",
    "SIGALRM": "signal.alarm(1); time.sleep(30)",
    "its group": "os.killpg(0, signal.SIGKILL)",
    "segmentation fault": "ctypes.string_at(0)",
    "another program": "os.execv('/bin/true', ['true'])",
    "descriptors closed": "os.closerange(0, 65536); os._exit(0)",
    "processor time": "resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass",
    "text for the worker": (
        "os.write(process().outq._writer.fileno(), b'no message at all'); time.sleep(30)"
    ),
    "a huge size for the worker": (
        "os.write(process().outq._writer.fileno(), bytes([127, 255, 255, 255, 1])); time.sleep(30)"
    ),
    ("text for the worker, and gone"): (
        "os.write(process().outq._writer.fileno(), b'no message at all'); os._exit(0)"
    ),
    "threads that stay": "threading.Thread(target=time.sleep, args=(1000,)).start(); os._exit(1)",
}

if sys.version_info < (3, 12):  # from then on Python has a limit for it, and raises
    LEAVING["stack of C"] = (
        "sys.setrecursionlimit(10**9)\nn = []\nfor _ in range(10**6): n = [n]\nrepr(n)"
    )

#: What raises: the task has failed, once.
RAISING = {
    "GeneratorExit": "raise GeneratorExit",
    "BaseException": "raise BaseException('x')",
    "CancelledError": "raise asyncio.CancelledError",
    "a BaseException that cannot be read": "import jobs; raise jobs.Bad(1, 2)",
    "an exception that only this process has": """
import jobs
jobs.Late = type("Late", (Exception,), {"__module__": "jobs"})
raise jobs.Late(1, 2)
""",
    "one without a text": "import jobs; raise jobs.Mute('x')",
    "one that cannot be written": "import jobs; raise jobs.Stuck('x')",
    "one without arguments": "import jobs; raise jobs.Bare('x')",
    "one that is its own argument": "error = ValueError(); error.args = (error,); raise error",
    "one with deep arguments": (
        "deep = []\nfor _ in range(100_000): deep = [deep]\nraise ValueError(deep)"
    ),
    "one of a module that is nowhere": """
import types
sys.modules["nowhere"] = types.ModuleType("nowhere")
exec("class Gone(Exception): pass", vars(sys.modules["nowhere"]))
raise sys.modules["nowhere"].Gone(1)
""",
    "a group of a thousand": "raise ExceptionGroup('group', [ValueError(1)] * 1000)",
    "a text of 100 MB": "raise ValueError('x' * 100_000_000)",
    "memory": (
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, "
        "resource.getrlimit(resource.RLIMIT_AS)[1]))\nbytearray(2**40)"
    ),
    "recursion": "def deep(): deep()\ndeep()",
    "a huge text": "raise ValueError('x' * 5_000_000)",
}

#: What returns something that is no JSON, or that nobody would read: the task has failed, once.
RETURNING = {
    "generator": "(n for n in range(3))",
    "iterator": "iter([1])",
    "endless": "__import__('itertools').count()",
    "set": "{1, 2}",
    "huge int": "10**6000",
    "object": "object()",
    "class": "int",
    "task": "add",
    "exception": "ValueError(1)",
    "end": "SystemExit(3)",
    "complex": "1j",
    "keys": "{(1, 2): 3}",
    "lock": "threading.Lock()",
    "600 MB": "'x' * 600_000_000",
    "itself": "itself",
    "deep": "abyss",
}
#: What is kept, and read as it was.
KEPT = {
    "bytes": b"\xff",
    "infinity": [float("inf")],
    "half a character": "\ud800",
    "40 MB": "x" * 40_000_000,
}

#: What changes the process, and returns.
CHANGING = {
    "basicConfig(force)": "logging.basicConfig(force=True)",
    "dictConfig": "logging.config.dictConfig({'version': 1, 'root': {'handlers': []}})",
    "logging.disable": (
        "logging.disable(logging.CRITICAL); logging.shutdown(); logging.root.handlers.clear()"
    ),
    "structlog": (
        "import structlog; structlog.configure(processors=[lambda *_: '']); "
        "structlog.contextvars.clear_contextvars()"
    ),
    "signals ignored": "for n in (15, 1, 2, 10, 17, 14): signal.signal(n, signal.SIG_IGN)",
    "signals blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))",
    "an alarm left": "signal.alarm(1)",
    "a timer left": "signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)",
    "streams closed": "sys.stdout.close(); sys.stderr.close()",
    "streams gone": "sys.stdout = sys.stderr = sys.stdin = None; os.close(1); os.close(2)",
    "hooks": (
        "import faulthandler; faulthandler.disable(); sys.excepthook = threading.excepthook = "
        "sys.unraisablehook = None"
    ),
    "limits": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (8, "
        "resource.getrlimit(resource.RLIMIT_NOFILE)[1]))"
    ),
    "hard limits": "resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))",
    "hard limit of a file": "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
    "file size": (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, "
        "resource.getrlimit(resource.RLIMIT_FSIZE)[1]))"
    ),
    "a directory that is gone": (
        "os.makedirs(path + '.d'); os.chdir(path + '.d'); os.rmdir(path + '.d')"
    ),
    "environment": "os.environ.clear(); os.umask(0o777); socket.setdefaulttimeout(0.001)",
    "priority": "os.nice(19)",
    "interpreter": (
        "sys.setrecursionlimit(10**9); gc.disable(); sys.setswitchinterval(1000); "
        "warnings.simplefilter('error')"
    ),
    "a task within": (
        "signal.signal(14, lambda *_: None); signal.alarm(100); add(1, 2); assert signal.alarm(0)"
    ),
    "json": "json.dumps = json.JSONEncoder.default = None",
    "time": "time.time = lambda: 0.0",
    "functions of os": (
        "os.write = os.read = os.getpid = os.open = os.close = os.kill = os.fork = os.umask = None"
    ),
    "functions that raise": """
import builtins
def raising(*_, **__):
    raise SystemExit(3)
os.getpid = os.write = time.monotonic = time.time = raising
builtins.len = builtins.repr = builtins.open = raising
""",
    "decimal and locale": "decimal.getcontext().prec = 1; locale.setlocale(locale.LC_ALL, 'C')",
    "asyncio": (
        "loop = asyncio.new_event_loop(); asyncio.set_event_loop(loop); "
        "loop.run_until_complete(asyncio.sleep(0))"
    ),
    "session": "os.setsid() if os.getpid() != os.getpgid(0) else None",
    "death signal": "ctypes.CDLL(None).prctl(1, 0)",
    "fork, back in both": "os.fork()",
    "fork, an exit in the copy": (
        "pid = os.fork()\nif pid == 0: sys.exit(7)\nassert os.waitpid(pid, 0)[1] >> 8 == 7"
    ),
    "threads": "[threading.Thread(target=time.sleep, args=(1000,)).start() for _ in range(3)]",
    "the log's descriptor": """
import builtins
for number in os.listdir("/proc/self/fd"):
    try:
        if os.readlink(f"/proc/self/fd/{number}").endswith((".log", ".tasks")):
            os.close(int(number))
    except OSError:
        pass
builtins.kept = [open(path + ".x", "a") for _ in range(20)]
""",
    "every descriptor": "os.closerange(0, 65536)",
    "multiprocessing": (
        "with multiprocessing.get_context('fork').Pool(2) as pool: assert pool.map(square, [2, 3]) "
        "== [4, 9]"
    ),
    "a process pool": (
        "with ProcessPoolExecutor(1) as pool: assert pool.submit(square, 3).result() == 9"
    ),
    "multiprocessing, spawned": """
process = multiprocessing.get_context("spawn").Process(target=square, args=(1,))
process.start()
process.join()
assert process.exitcode == 0
""",
    "receivers of Celery's signals": """
from celery import signals
for name in ("task_prerun", "task_success", "task_failure", "task_retry"):
    getattr(signals, name).receivers.clear()
signals.task_postrun.receivers = None
""",
    "signals from Celery": (
        "from celery import signals; signals.worker_process_shutdown.receivers = []"
    ),
}

INI = "[worker:a]\nconcurrency = 4\nprefetch = 4\nstop_timeout = 10s\n"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Suite, Any, int]]:
    """One worker for all acts: what one of them left would harm the next."""
    with TemporaryDirectory(prefix="warren-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        suite = Suite(Path(directory), INI, modules="jobs")
        suite.module("jobs", JOBS)
        with suite.running("worker", "a") as worker:
            suite.await_event("worker", "ready", DEADLINE)
            yield suite, make_app(load(suite.etc)), worker.pid


def runs(path: Path) -> list[int]:
    """Return the processes in which an act has begun, in order."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def pairs(suite: Suite, app: Any, pid: int) -> None:
    """Run plain tasks.

    Each has its pair of lines, and the worker is the same process, which answers.
    """
    sent = {app.send_task("jobs.add", [number, 1]).id for number in range(PLAIN)}
    for event in ("task_started", "task_succeeded"):
        until(
            lambda event=event: (  # type: ignore[misc]
                sent <= {line.get("task_id") for line in suite.logged("worker", event)}
            ),
            DEADLINE,
            event,
        )
    before = len(suite.logged("worker", "state_dumped"))
    os.kill(pid, signal.SIGUSR1)
    until(
        lambda: len(suite.logged("worker", "state_dumped")) > before,
        DEADLINE,
        "an answer to SIGUSR1",
    )
    before = len(suite.logged("worker", "reload_refused"))
    suite.write("[worker\n")
    os.kill(pid, signal.SIGHUP)
    until(
        lambda: len(suite.logged("worker", "reload_refused")) > before,
        DEADLINE,
        "an answer to SIGHUP",
    )
    suite.write(INI)


def test_a_task_that_leaves_its_process_is_given_up(
    running: tuple[Suite, Any, int], scratch: Path
) -> None:
    """Each way to leave ends the process five times, each time with a line.

    Then the task has failed, and the next ones run.
    """
    suite, app, pid = running
    sent = {
        act: app.send_task("jobs.act", [code, str(scratch / str(number))])
        for number, (act, code) in enumerate(LEAVING.items())
    }
    ends = {
        act: type(result.get(timeout=600, propagate=False)).__name__ for act, result in sent.items()
    }
    assert ends == dict.fromkeys(LEAVING, "WorkerLostError")
    found = {act: crashes(suite, result.id) for act, result in sent.items()}
    assert found == {act: [1, 2, 3, 4] for act in LEAVING}
    # Neither more nor fewer: what a child was given that died before it began with it is no loss.
    assert {
        act: len(runs(scratch / str(number))) for number, act in enumerate(LEAVING)
    } == dict.fromkeys(LEAVING, 5)
    assert {
        len(suite.logged("worker", "task_failed", task_id=result.id)) for result in sent.values()
    } == {1}
    assert suite.logged("worker", "pool_garbled")
    pairs(suite, app, pid)


def crashes(suite: Suite, task_id: str) -> list[int]:
    """Return what the lines of its ends have counted."""
    return [line["crashes"] for line in suite.logged("worker", "task_requeued", task_id=task_id)]


@pytest.mark.parametrize("act", RAISING)
def test_a_task_that_raises_has_failed_once(
    running: tuple[Suite, Any, int], scratch: Path, act: str
) -> None:
    """Whatever it raises, the worker's main loop can read it.

    There is one line of a readable size; the next tasks run.
    """
    suite, app, pid = running
    result = app.send_task("jobs.act", [RAISING[act], str(scratch / "runs")])
    (line,) = until(
        lambda: suite.logged("worker", "task_failed", task_id=result.id), DEADLINE, "the failure"
    )
    assert len(runs(scratch / "runs")) == 1
    assert len(str(line)) < 100_000
    pairs(suite, app, pid)
    assert len(suite.logged("worker", "task_failed", task_id=result.id)) == 1


def test_what_no_result_can_be(running: tuple[Suite, Any, int]) -> None:
    """Each task has failed, with one line and a readable error.

    What can be kept is read as it was.
    """
    suite, app, pid = running
    for expression in RETURNING.values():
        result = app.send_task("jobs.give", [expression])
        error = result.get(timeout=600, propagate=False)
        assert (expression, result.state, type(error).__name__) in (
            (expression, "FAILURE", name) for name in UNKEPT
        )
        until(
            lambda result=result: suite.logged("worker", "task_failed", task_id=result.id),  # type: ignore[misc]
            DEADLINE,
            "the line",
        )
        assert ends(suite, result.id) == ["task_failed"]
    for kept in KEPT.values():
        expression = repr(kept) if len(repr(kept)) < 1000 else "'x' * 40_000_000"
        assert (
            app.send_task("jobs.give", [expression.replace("inf", "float('inf')")]).get(timeout=600)
            == kept
        )
    pairs(suite, app, pid)


@pytest.mark.parametrize("act", CHANGING)
def test_what_a_task_changes_in_its_process_harms_no_other(
    running: tuple[Suite, Any, int], scratch: Path, act: str
) -> None:
    """The task returns once and has its lines; the next tasks run and have theirs."""
    suite, app, pid = running
    result = app.send_task("jobs.act", [CHANGING[act], str(scratch / "runs")])
    until(lambda: ends(suite, result.id), DEADLINE, "the end")
    pairs(suite, app, pid)
    told = ends(suite, result.id)
    # Nobody but root gets a higher hard limit. Where no descriptor, or no room, is left for the
    # result the task has failed, and the process is replaced.
    assert told == ["task_succeeded"] or (act.startswith("hard limit") and told == ["task_failed"])
    assert len(runs(scratch / "runs")) == 1


def test_a_task_and_its_helpers_run_out_of_memory_before_the_worker_does(
    running: tuple[Suite, Any, int], scratch: Path
) -> None:
    """The kernel takes what is most expendable, not what happens to be the largest."""
    suite, app, pid = running
    code = (
        "subprocess.check_call(['sh', '-c', f'cat /proc/self/oom_score_adj "
        "/proc/{os.getpid()}/oom_score_adj >{path}.adj'])"
    )
    result = app.send_task("jobs.act", [code, str(scratch / "runs")])
    until(lambda: ends(suite, result.id), DEADLINE, "the end")
    tasks = [int(text) for text in (scratch / "runs.adj").read_text().split()]
    assert min(tasks) >= 500 > int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def ends(suite: Suite, task_id: str) -> list[str]:
    """Return the events that tell of the end of a task."""
    return [
        event
        for event in ("task_succeeded", "task_failed")
        for _ in suite.logged("worker", event, task_id=task_id)
    ]


def test_a_task_that_hears_no_signal_does_not_hold_up_the_stop(scratch: Path) -> None:
    """After stop_timeout its process is killed, with what it has started.

    The task goes back, and the worker ends with 0.
    """
    suite = Suite(scratch, INI.replace("10s", "2s"), modules="jobs")
    suite.module("jobs", JOBS)
    with suite.running("worker", "a") as worker:
        deaf = """
for number in (15, 1, 2, 3, 10):
    signal.signal(number, signal.SIG_IGN)
subprocess.Popen(["sleep", "1000"])
while True:
    time.sleep(1)
"""
        result = make_app(load(suite.etc)).send_task("jobs.act", [deaf, str(scratch / "runs")])
        (pid,) = until(lambda: runs(scratch / "runs"), DEADLINE, "the task to begin")
        family = (
            until(lambda: len(descendants(pid)) == 2 and descendants(pid), DEADLINE, "its child")
            or []
        )
        worker.terminate()
        assert worker.wait(DEADLINE) == 0
        assert not [member for member in family if member.alive]
    assert suite.logged("worker", "task_requeued", task_id=result.id)
    assert suite.logged("worker", "stopped", exit_code=0)
