"""How far a task has come, told by it and read by others."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from celery import Celery, Task
from celery.exceptions import TimeoutError  # noqa: A004

from support.in_process import working
from support.wait import TIMEOUT, result_of
from warren.tasks.progress import Progress, follow, progress, read


@pytest.fixture
def app() -> Celery:
    app = Celery("test", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.task_store_eager_result = True
    return app


def test_what_a_task_tells_is_read_while_it_runs_and_its_end_after(app: Celery) -> None:
    """A reader sees steps and note of a running task, then that it has ended."""
    seen = []

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> None:
        seen.append(read(self.AsyncResult(self.request.id or "")))
        progress(self, 1, 4, "first")
        seen.append(read(self.AsyncResult(self.request.id or "")))

    result = app.AsyncResult(work.apply().id)
    assert seen == [None, Progress(1, 4, "first")]
    ended = read(result)
    assert ended is not None
    assert ended.ended
    assert ended.fraction == 1.0


@pytest.mark.parametrize("backend", ["cache+memory://", "rpc://"])
def test_who_follows_a_task_hears_every_step_and_the_end(backend: str) -> None:
    """The sender of a task sees it move and end, after other results came.

    This holds whether results are kept or sent.
    """
    app = Celery("test", broker="memory://", backend=backend, set_as_current=False)
    app.conf.update(broker_transport_options={"polling_interval": 0.01}, task_default_queue=backend)
    go_on = threading.Event()

    @app.task(bind=True, name="work", shared=False)
    def work(self: Task[..., Any]) -> str:
        progress(self, 0, 2, "begun")
        assert go_on.wait(TIMEOUT)
        progress(self, 2, 2, "done")
        return "result"

    @app.task(name="quick", shared=False)
    def quick() -> int:
        return 1

    with working(app):
        assert result_of(quick.delay(), interval=0.02) == 1
        result = work.delay()
        told = []
        for step in follow(result, TIMEOUT):
            told.append(step)
            go_on.set()
        assert result.get(timeout=0.1) == "result"  # load: it has come already
    assert told[0] == Progress(0, 2, "begun")
    assert told[-1].ended
    assert [step.ended for step in told].count(True) == 1


def test_who_follows_a_task_that_never_ends_is_told_so(app: Celery) -> None:
    """Following gives up after the time that was given, naming the task."""
    with pytest.raises(TimeoutError, match=r"task nobody did not end within 0\.2 s"):
        list(follow(app.AsyncResult("nobody"), 0.2))


def test_a_hot_loop_does_not_flood_the_backend(app: Celery) -> None:
    """Of many steps within a moment the first and the last are published.

    Next to none between them is.
    """
    published: list[bool] = []

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> None:
        published.extend(progress(self, done, 5000) for done in range(5001))

    began = time.monotonic()
    work.apply()
    took = time.monotonic() - began
    assert published[0]
    assert published[-1]
    assert sum(published) <= 3 + took / 0.2


def test_each_run_publishes_its_own_first_step(app: Celery) -> None:
    """A second run right after the first is not silenced by it."""
    published: list[bool] = []

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> None:
        published.append(progress(self, 0, 10))

    work.apply()
    work.apply()
    assert published == [True, True]


def test_a_plain_call_publishes_nothing(app: Celery) -> None:
    """A task called as a function, outside any run, has no one to tell."""

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> bool:
        return progress(self, 1, 2)

    assert work() is False


@pytest.mark.parametrize(("done", "total"), [(-1, 2), (3, 2), (0, -1)])
def test_steps_outside_the_total_are_refused(app: Celery, done: int, total: int) -> None:
    """A count that cannot be is an error of the task's author and is said so."""

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> None:
        progress(self, done, total)

    with pytest.raises(ValueError, match="expected 0 <= done <= total"):
        work.apply(throw=True)


@pytest.mark.parametrize(
    ("done", "total", "fraction"), [(0, 4, 0.0), (1, 4, 0.25), (4, 4, 1.0), (0, 0, 1.0)]
)
def test_fraction_is_defined_for_every_total(done: int, total: int, fraction: float) -> None:
    """A task with nothing to do is complete, not a division by zero."""
    assert Progress(done, total).fraction == fraction
