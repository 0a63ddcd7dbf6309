"""What a task forks ends by SIGTERM, whenever that comes."""

from __future__ import annotations

import subprocess
import sys

from support.wait import run_to_end

#: A pool child's handler; then processes that wait for a lock and are told to end, mostly before
#: they have begun.
SCRIPT = """
import multiprocessing, os, signal, time
from billiard.common import reset_signals
from warren.worker import task_forks

task_forks.begin_child()
reset_signals()
lock = multiprocessing.get_context("fork").Lock()
lock.acquire()
for number in range(200):
    pid = os.fork()
    if pid == 0:
        lock.acquire()
        os._exit(1)
    time.sleep(number % 4 / 1000)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
assert signal.getsignal(signal.SIGTERM).__module__ == "billiard.common"
assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
signal.signal(signal.SIGTERM, handler := lambda *_: None)
pid = os.fork()
if pid == 0:
    os._exit(signal.getsignal(signal.SIGTERM) is handler)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
"""


def test_a_process_that_a_task_forks_ends_by_sigterm() -> None:
    """SIGTERM ends the process also just behind its fork and just before it waits.

    The pool child, and a task's own handler, stay as they are.
    """
    done = run_to_end(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, within=120
    )
    assert done.returncode == 0, done.stdout
