"""How far a task has come, told by it and read by others."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from celery import Celery, Task
from celery.exceptions import SoftTimeLimitExceeded, TimeoutError  # noqa: A004

from support.in_process import working
from support.wait import TIMEOUT, result_of
from warren.tasks.follow import Progress, follow, read
from warren.tasks.progress import progress, report_progress


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
        report_progress(1, 4, "first")
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
        report_progress(0, 2, "begun")
        assert go_on.wait(TIMEOUT)
        report_progress(2, 2, "done")
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
        published.extend(report_progress(done, 5000) for done in range(5001))

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
        published.append(report_progress(0, 10))

    work.apply()
    work.apply()
    assert published == [True, True]


def test_a_plain_call_publishes_nothing(app: Celery) -> None:
    """A task called as a function, outside any run, has no one to tell."""

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> bool:
        return report_progress(1, 2)

    assert work() is False


def test_a_loop_is_reported_from_its_first_step_to_its_last(app: Celery) -> None:
    """The steps arrive unchanged; the reader sees how many are done, the total, and the note."""
    seen: list[Progress | None] = []

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> list[str]:
        steps = []
        for step in progress(["a", "b"], note="letters"):
            seen.append(read(self.AsyncResult(self.request.id or "")))
            steps.append(step)
        seen.append(read(self.AsyncResult(self.request.id or "")))
        return steps

    assert work.apply().get() == ["a", "b"]
    assert seen[0] == Progress(0, 2, "letters")
    assert seen[-1] == Progress(2, 2, "letters")


@pytest.mark.parametrize(
    ("steps", "total", "first", "last"),
    [
        ([], None, None, (0, 0)),
        (iter("ab"), None, (0, None), (2, 2)),
        (iter("ab"), 2, (0, 2), (2, 2)),
        (iter("abc"), 1, (0, 1), (3, 3)),  # an estimate that was too small
        ("ab", 5, (0, 5), (2, 2)),  # and one that was too large
    ],
)
def test_a_total_may_be_unknown_or_wrong(
    app: Celery, steps: Any, total: int | None, first: Any, last: Any
) -> None:
    """A loop of unknown length has no total until its end; a wrong total becomes the right one."""
    stored: list[tuple[int, int | None]] = []

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> None:
        self.update_state = lambda state, meta: stored.append((meta["done"], meta["total"]))
        for _ in progress(steps, total):
            pass

    work.apply(throw=True)
    assert stored[-1] == last
    assert stored[0] == (first or last)


def test_a_loop_outside_a_task_only_runs() -> None:
    """Code that is shared with programs which are no task needs no second form."""
    assert list(progress(range(3))) == [0, 1, 2]


def test_a_loop_that_breaks_is_not_reported_as_done(app: Celery) -> None:
    """The reader of a task that stopped early does not see it at its end."""
    stored: list[int] = []

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> None:
        self.update_state = lambda state, meta: stored.append(meta["done"])
        for step in progress(range(100)):
            if step == 5:
                break

    work.apply(throw=True)
    assert stored
    assert 100 not in stored


def test_a_report_that_cannot_be_stored_does_not_fail_the_task(app: Celery) -> None:
    """Results that are away cost the reader the progress, and the task nothing.

    The next report waits: a server that is away must not be asked at each step.
    """
    tries: list[int] = []

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> int:
        def refuse(state: str, meta: dict[str, Any]) -> None:
            tries.append(meta["done"])
            raise OSError("refused")

        self.update_state = refuse
        return sum(progress(range(1000)))

    assert work.apply(throw=True).get() == 499500
    assert tries == [0, 1000]


def test_a_soft_time_limit_within_a_report_ends_the_task(app: Celery) -> None:
    """The error of a limit is no error of the storing."""

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> None:
        def late(state: str, meta: dict[str, Any]) -> None:
            raise SoftTimeLimitExceeded

        self.update_state = late
        for _ in progress(range(3)):
            pass

    with pytest.raises(SoftTimeLimitExceeded):
        work.apply(throw=True)


@pytest.mark.parametrize(("done", "total"), [(-1, 2), (3, 2), (0, -1)])
def test_steps_outside_the_total_are_refused(app: Celery, done: int, total: int) -> None:
    """A count that cannot be is an error of the task's author and is said so."""

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> None:
        report_progress(done, total)

    with pytest.raises(ValueError, match="expected 0 <= done <= total"):
        work.apply(throw=True)


@pytest.mark.parametrize(
    ("done", "total", "fraction"),
    [(0, 4, 0.0), (1, 4, 0.25), (4, 4, 1.0), (0, 0, 1.0), (7, None, 0.0)],
)
def test_fraction_is_defined_for_every_total(done: int, total: int, fraction: float) -> None:
    """A task with nothing to do is complete, not a division by zero."""
    assert Progress(done, total).fraction == fraction
