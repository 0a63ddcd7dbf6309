"""Celery's signals in a worker: those that people use come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.suite import Suite
from support.wait import result_of
from warren.app.factory import make_app
from warren.config import load
from warren.config.advice import SILENT

JOBS = """
import os
from celery import shared_task, signals
from celery.utils.dispatch import Signal

WORKER = os.getpid()

def heard(signal=None, sender=None, **given):
    where = "worker" if os.getpid() == WORKER else "child"
    with open(os.path.join({directory!r}, "heard"), "a") as file:
        file.write(f"{{where}} {{signal.name}} {{','.join(sorted(given))}}\\n")

for signal in vars(signals).values():
    if isinstance(signal, Signal):
        signal.connect(heard)

@shared_task(name="jobs.add", bind=True, max_retries=1)
def add(self, a, b, again=False):
    if again and not self.request.retries:
        raise self.retry(countdown=0)
    return a / b
"""
#: Each with what Celery documents that it comes with.
SENT = {
    "worker celeryd_init conf,instance,options",
    "worker celeryd_after_setup conf,instance",
    "worker worker_init ",
    "worker worker_ready ",
    "worker task_received request",
    "worker task_revoked expired,request,signum,terminated",
    "worker worker_shutting_down exitcode,how,sig",
    "worker worker_shutdown ",
    "child worker_process_init ",
    "child task_prerun args,kwargs,task,task_id",
    "child task_postrun args,kwargs,retval,state,task,task_id",
    "child task_success result,runtime",
    "child task_failure args,einfo,exception,kwargs,task_id,traceback",
    "child task_retry einfo,reason,request",
    "child before_task_publish body,declare,exchange,headers,properties,retry_policy,routing_key",
    "child after_task_publish body,exchange,headers,routing_key",
}


def test_the_signals_of_a_worker(scratch: Path) -> None:
    """Each signal that people use comes, in its process and with its arguments.

    Signals that check warns of never come.
    """
    suite = Suite(scratch, "[worker:a]\nconcurrency = 1\n", modules="jobs")
    suite.module("jobs", JOBS.format(directory=str(scratch)))
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        app = make_app(load(suite.etc))
        late = app.send_task("jobs.add", [1, 1], expires=datetime.now(UTC) - timedelta(minutes=1))
        failed = app.send_task("jobs.add", [1, 0])
        assert result_of(app.send_task("jobs.add", [4, 2, True])) == 2
        suite.await_event("worker", "task_failed", task_id=failed.id)
        suite.await_event("worker", "task_revoked", task_id=late.id)
    heard = set((scratch / "heard").read_text(encoding="utf-8").splitlines())
    assert SENT - heard == set()
    assert not {line.split()[1] for line in heard} & set(SILENT)
