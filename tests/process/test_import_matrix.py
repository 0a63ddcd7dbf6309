"""What a module may do to the process that imports it.

The worker and beat work, log, reload and stop all the same.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.suite import Suite
from support.wait import until
from warren.app.factory import make_app
from warren.config import load

#: Twenty plain tasks follow each act.
PLAIN = 20
DEADLINE = 90

JOBS = """
from celery import shared_task

@shared_task(name="jobs.add")
def add(a, b):
    return a + b
"""

#: Several acts stand in one module where none of them hides another: each start of a worker takes
#: seconds.
ACTS = {
    "logging is configured again": """
import logging, logging.config
logging.basicConfig(force=True)
logging.config.dictConfig({"version": 1, "root": {"level": "CRITICAL", "handlers": []}})
logging.disable(logging.CRITICAL)
logging.shutdown()
""",
    "as Django's setup does": """
import logging.config
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django": {"handlers": ["console"], "level": "INFO"}},
})
""",
    "handlers, loggers and structlog are replaced": """
import logging, structlog
logging.root.handlers.clear()
logging.setLoggerClass(type("Quiet", (logging.Logger,), {"handle": lambda self, record: None}))
structlog.configure(processors=[lambda logger, name, event: ""])
""",
    "signals are set": """
import signal
for name in ("TERM", "HUP", "INT", "USR1", "CHLD", "QUIT"):
    signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_IGN)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.alarm(3)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD})
""",
    "signals have handlers that raise": """
import os, signal
def raising(number, frame):
    raise KeyboardInterrupt
for name in ("TERM", "HUP", "INT", "USR1", "CHLD"):
    signal.signal(getattr(signal, f"SIG{name}"), raising)
reading, writing = os.pipe()
os.set_blocking(writing, False)
signal.set_wakeup_fd(writing)
os.close(writing)
""",
    "streams are closed": """
import sys
sys.stdout.close()
sys.stderr.close()
""",
    "streams are nothing, hooks are others": """
import sys, threading, warnings
sys.stdout = sys.stderr = sys.stdin = None
sys.excepthook = threading.excepthook = sys.unraisablehook = lambda *_: None
warnings.simplefilter("error")
""",
    "the interpreter is set otherwise": """
import ctypes, gc, os, resource, socket, sys
sys.setswitchinterval(1000)
sys.setrecursionlimit(10**9)
gc.disable()
socket.setdefaulttimeout(0.001)
os.umask(0)
os.environ.clear()
resource.setrlimit(resource.RLIMIT_NOFILE, (8, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
ctypes.CDLL(None).prctl(1, 0)
os.mkdir("gone") if not os.path.isdir("gone") else None
os.chdir("gone")
os.rmdir("../gone")
""",
    "threads and an end that never end": """
import atexit, threading, time
atexit.register(time.sleep, 1000)
threading.Thread(target=time.sleep, args=(1000,)).start()
""",
    "a subprocess is left behind": """
import subprocess
subprocess.Popen(["sleep", "1000"], start_new_session=True)
""",
    "the log's descriptor is closed": """
import os
for number in os.listdir("/proc/self/fd"):
    try:
        if os.readlink(f"/proc/self/fd/{number}").endswith(".log"):
            os.close(int(number))
    except OSError:
        pass
taken = [open("/dev/null") for _ in range(30)]
""",
}

INI = (
    "[worker:a]\nconcurrency = 2\nstop_timeout = 10s\n[schedule:tick]\ntask = jobs.add\nargs = [1, "
    "2]\nevery = 1s\n"
)


@pytest.fixture
def suite(scratch: Path) -> Suite:
    made = Suite(scratch, INI, modules="bad, jobs")
    made.module("jobs", JOBS)
    return made


@contextmanager
def both(suite: Suite) -> Iterator[None]:
    """Run a worker and a beat; both answer SIGUSR1 and SIGHUP and end with 0 in the end."""
    with suite.running("worker", "a") as worker, suite.running("beat") as beat:
        for daemon in ("worker", "beat"):
            suite.await_event(daemon, "ready", DEADLINE)
        yield
        for daemon, process in (("worker", worker), ("beat", beat)):
            os.kill(process.pid, signal.SIGUSR1)
            suite.await_event(daemon, "state_dumped", DEADLINE)
            suite.write("[worker\n")
            os.kill(process.pid, signal.SIGHUP)
            suite.await_event(daemon, "reload_refused", DEADLINE)
            suite.write(INI)
            process.terminate()
            assert process.wait(DEADLINE) == 0
            assert suite.logged(daemon, "stopped")


@pytest.mark.parametrize("act", ACTS)
def test_no_import_stops_or_silences_a_daemon(suite: Suite, act: str) -> None:
    """After the import twenty tasks have their pairs of lines.

    Ticks are sent, and signals are answered.
    """
    suite.module("bad", ACTS[act])
    app = make_app(load(suite.etc))
    with both(suite):
        sent = [app.send_task("jobs.add", [number, 1]).id for number in range(PLAIN)]
        for event in ("task_started", "task_succeeded"):
            until(
                lambda event=event: (  # type: ignore[misc]
                    {line["task_id"] for line in suite.logged("worker", event)} >= set(sent)
                ),
                DEADLINE,
                event,
            )
        suite.await_event("beat", "tick_sent", DEADLINE)
