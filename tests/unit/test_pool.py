"""The pool's pipes: what a dead child has sent is read first, and garbage costs that child."""

from __future__ import annotations

import os
import pickle
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from billiard.pool import ACK
from billiard.process import current_process
from hypothesis import given
from hypothesis import strategies as st
from kombu.asynchronous import Hub, set_event_loop

from support.wait import until
from warren.system.process import reads, waits
from warren.worker import pool as pools
from warren.worker import stuck_children
from warren.worker.pool_messages import problem, unread

PID, INQUEUE = 7, 9


class Stepping:
    """A pool of two children, and the loop that turns it."""

    def __init__(self) -> None:
        self.hub = Hub()
        set_event_loop(self.hub)
        self.pool: Any = pools.Pool(2, threads=False, enable_timeouts=True)
        self.pool.register_with_event_loop(self.hub)
        self._loop = self.hub.create_loop()
        self.ends: list[Any] = []
        self.hub.call_repeatedly(0.05, lambda: None)
        self.step_until(lambda: len(self.pool._fileno_to_inq) == 2)

    def step_until(self, condition: Callable[[], Any]) -> None:
        """Turn the loop until the condition holds."""

        def look() -> Any:
            next(self._loop)
            return condition()

        until(look, what="the condition")

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Give it to a child; its end is noted."""
        return self.pool.apply_async(
            function, arguments, callback=self.ends.append, error_callback=self.ends.append
        )

    def stop(self) -> None:
        """End it."""
        for proc in list(self.pool._pool):
            os.kill(proc.pid, signal.SIGKILL)
            os.waitpid(proc.pid, 0)
        self.hub.close()
        set_event_loop(None)


@pytest.fixture
def steps_of() -> Iterator[Stepping]:
    """A pool in this process."""
    made = Stepping()
    yield made
    made.stop()


def die(path: str) -> None:
    """Note that it runs, and die."""
    with open(path, "a", encoding="ascii") as file:
        file.write("x")
    os._exit(3)


def gone(proc: Any) -> bool:
    """Return whether the child has ended, without asking its end away."""
    return os.waitid(os.P_PID, proc.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def test_children_that_die_at_the_same_moment(steps_of: Stepping, tmp_path: Path) -> None:
    """A child that dies just after the check for dead children is lost like the others.

    Its task had begun, and runs once.
    """
    pool = steps_of.pool
    jobs = [steps_of.run(die, str(tmp_path / str(number))) for number in range(2)]
    procs = list(pool._pool)
    steps_of.step_until(lambda: not pool.outbound_buffer and not pool._active_writes)
    until(lambda: all(gone(proc) for proc in procs), what="both deaths")
    assert not any(job._accepted for job in jobs)  # nothing was read of what they said
    late = procs[0]
    asked: list[int] = []
    real = late._popen.poll
    late._popen.poll = lambda *given: asked.append(1) if not asked else real(*given)
    pool._join_exited_workers()
    assert asked
    late._popen.poll = real
    steps_of.step_until(lambda: len(steps_of.ends) == 2)
    assert all(isinstance(end.exception.exc, WorkerLostError) for end in steps_of.ends)
    assert [(tmp_path / str(number)).read_text() for number in range(2)] == ["x", "x"]


def pools_child() -> Any:
    """Return the pool's own object in a child."""
    return current_process()


def test_a_task_that_no_process_seems_to_begin(steps_of: Stepping, tmp_path: Path) -> None:
    """A task is not given to other children for ever when its child denies it and dies."""
    pool = steps_of.pool
    for proc in list(pool._pool):
        os.kill(proc.pid, signal.SIGSTOP)  # nothing is read before the child has taken it back
    job = steps_of.run(steal, str(tmp_path / "runs"))
    steps_of.step_until(lambda: job._write_to and not pool._active_writes)
    dead = job._write_to
    os.kill(dead.pid, signal.SIGCONT)
    until(lambda: gone(dead), what="a death")
    pool._join_exited_workers()
    assert (job.unseen, list(pool.outbound_buffer)) == (1, [job])
    for _ in range(pools.MOST_UNSEEN - 1):
        pool.on_partial_read(job, dead)
    assert not pool.outbound_buffer
    assert isinstance(steps_of.ends[0].exception.exc, WorkerLostError)
    assert (tmp_path / "runs").read_text() == "x"


def test_a_task_that_hides_its_begin_and_is_noted(steps_of: Stepping, tmp_path: Path) -> None:
    """What its child has noted says that it ran: that is a loss, the first time."""
    pool = steps_of.pool
    for proc in list(pool._pool):
        os.kill(proc.pid, signal.SIGSTOP)
    path = str(tmp_path / "runs")
    job = pool.apply_async(
        steal, (path,), correlation_id="noted", error_callback=steps_of.ends.append
    )
    steps_of.step_until(lambda: job._write_to and not pool._active_writes)
    dead = job._write_to
    pool.began = lambda index, task_id: (index, task_id) == (dead.index, "noted")
    os.kill(dead.pid, signal.SIGCONT)
    until(lambda: gone(dead), what="a death")
    pool._join_exited_workers()
    assert not pool.outbound_buffer
    assert isinstance(steps_of.ends[0].exception.exc, WorkerLostError)


def test_a_task_whose_children_die_before_they_begin_with_it(steps_of: Stepping) -> None:
    """That is no loss: it is given to the next one, as often as that happens, and runs."""
    pool = steps_of.pool
    for proc in list(pool._pool):
        os.kill(proc.pid, signal.SIGSTOP)
    job = steps_of.run(plain)
    steps_of.step_until(lambda: job._write_to and not pool._active_writes)
    dead = job._write_to
    os.kill(dead.pid, signal.SIGKILL)
    until(lambda: gone(dead), what="a death")
    pool._join_exited_workers()
    for _ in range(6):
        pool.on_partial_read(job, dead)
    pool.maintain_pool()
    for proc in list(pool._pool):
        os.kill(proc.pid, signal.SIGCONT)
    steps_of.step_until(lambda: steps_of.ends)
    assert (steps_of.ends, job.unseen) == ([plain()], 7)


def test_what_a_child_has_said_counts_as_the_connection_ends(
    steps_of: Stepping, tmp_path: Path
) -> None:
    """A task that had begun, of which nothing was read, is lost with its process.

    It is not forgotten, and that is logged.
    """
    pool = steps_of.pool
    jobs = [steps_of.run(die, str(tmp_path / str(number))) for number in range(2)]
    procs = list(pool._pool)
    steps_of.step_until(lambda: not pool.outbound_buffer and not pool._active_writes)
    until(lambda: all(gone(proc) for proc in procs), what="both deaths")
    assert not any(job._accepted for job in jobs)
    pool.hear()
    pool.flush()
    steps_of.step_until(lambda: len(steps_of.ends) == 2)
    assert all(isinstance(end.exception.exc, WorkerLostError) for end in steps_of.ends)


def test_a_task_that_begins_as_its_connection_has_ended(steps_of: Stepping) -> None:
    """Nobody hears of its end, as its message comes again.

    When its process dies, that is told, by its id.
    """
    pool = steps_of.pool
    told: list[tuple[int, str]] = []
    pool.lost_unheard = lambda *given: told.append(given)
    for proc in list(pool._pool):
        os.kill(proc.pid, signal.SIGSTOP)
    job = pool.apply_async(os._exit, (3,), correlation_id="x", error_callback=steps_of.ends.append)
    other = pool.apply_async(plain, (), correlation_id="y", callback=steps_of.ends.append)
    steps_of.step_until(lambda: job._write_to and other._write_to and not pool._active_writes)
    dead, alive = job._write_to, other._write_to
    pool.flush()
    assert not pool._cache
    for proc in (dead, alive):
        os.kill(proc.pid, signal.SIGCONT)
    steps_of.step_until(lambda: told)
    assert told == [(dead.index, "x")]
    assert not steps_of.ends


def test_what_follows_a_task_stays_as_the_connection_ends(steps_of: Stepping) -> None:
    """No broker delivers it again.

    Written to a child or waiting for one, it runs once; what is the broker's is forgotten.
    """
    pool = steps_of.pool
    for proc in list(pool._pool):
        os.kill(proc.pid, signal.SIGSTOP)
    discarded: list[int] = []
    jobs = [steps_of.run(plain) for _ in range(4)]
    for number in (0, 2):
        jobs[number].stays = True
    for number in (1, 3):
        jobs[number].on_discard = lambda number=number: discarded.append(number)
    steps_of.step_until(lambda: len(pool.outbound_buffer) == 2 and not pool._active_writes)
    pool.flush()
    assert sorted(discarded) == [1, 3]
    for proc in list(pool._pool):
        os.kill(proc.pid, signal.SIGCONT)
    steps_of.step_until(lambda: len(steps_of.ends) == 2)
    assert steps_of.ends == [plain()] * 2
    assert not pool._cache


def outlive(path: str) -> tuple[int, int, float]:
    """Ignore the signal by which it is to end, and say so."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(path).touch()
    until(lambda: Path(f"{path}.go").exists(), what="the file to continue")
    return plain()


def test_a_task_that_outlives_its_termination_takes_no_other_with_it(
    steps_of: Stepping, tmp_path: Path
) -> None:
    """What is lost with the same child later is lost, and nobody has revoked it."""
    pool = steps_of.pool
    job = steps_of.run(outlive, str(tmp_path / "a"))
    steps_of.step_until(lambda: job._accepted and (tmp_path / "a").exists())
    child = job._write_to
    pool.terminate_job(job._worker_pid)
    (tmp_path / "a.go").touch()
    steps_of.step_until(lambda: steps_of.ends)
    assert steps_of.ends == [plain()]
    # one for each child
    jobs = [steps_of.run(die, str(tmp_path / str(number))) for number in range(2)]
    steps_of.step_until(lambda: len(steps_of.ends) == 3)
    assert child in [each._write_to for each in jobs]
    assert all(isinstance(end.exception.exc, WorkerLostError) for end in steps_of.ends[1:])


@pytest.mark.parametrize(
    "limits", [{"timeout": 60}, {"soft_timeout": 60}, {"soft_timeout": 60, "timeout": 70}]
)
def test_a_task_that_has_ended_is_not_over_its_limit(
    steps_of: Stepping, tmp_path: Path, limits: dict[str, float]
) -> None:
    """Its end lies in the pipe as the clock says so, for the loop was late: that is its one end."""
    pool = steps_of.pool
    ends, path = steps_of.ends, tmp_path / "go"
    job = pool.apply_async(
        linger, (str(path),), callback=ends.append, error_callback=ends.append, **limits
    )
    steps_of.step_until(lambda: job._accepted)
    child = job._write_to
    path.touch()
    until(
        lambda: waits(child.pid) and reads(child.pid, child.inq._reader.fileno()),
        what="a child that waits for the next task",
    )
    assert not ends
    if "soft_timeout" in limits:
        pool._on_soft_timeout(job._job, 60, limits.get("timeout"), steps_of.hub)
    else:
        pool._on_hard_timeout(job._job)
    assert ends == [plain()]
    steps_of.run(plain)
    steps_of.step_until(lambda: len(ends) == 2)
    assert child in pool._pool


def linger(path: str) -> tuple[int, int, float]:
    """Return when the file is there."""
    until(Path(path).exists, what="the file to end")
    return plain()


def steal(path: str) -> None:
    """Take back what was said to the worker, and die."""
    fd = os.open(
        f"/proc/self/fd/{pools_child().outq._writer.fileno()}", os.O_RDONLY | os.O_NONBLOCK
    )
    os.read(fd, 65536)
    die(path)


def plain() -> tuple[int, int, float]:
    """Return as Celery's tracer does."""
    return 0, 5, 0.1


def write(content: bytes, dies: bool) -> tuple[int, int, float]:
    """Write into the pipe to the worker."""
    os.write(pools_child().outq._writer.fileno(), content)
    if dies:
        os._exit(3)
    return plain()


def framed(content: bytes) -> bytes:
    """Return it as a message of the pool is written."""
    return struct.pack(">i", len(content)) + content


GARBAGE = {
    "text": b"junk junk junk",
    "zeros": bytes(100),
    "a size below 0": struct.pack(">i", -5),
    "a huge size": struct.pack(">i", 2**31 - 1),
    "no pickle": framed(b"junk"),
    "a pickle of another kind": framed(pickle.dumps([1, 2, 3])),
    "no fields": framed(pickle.dumps((1, ()))),
    "an end without an outcome": framed(pickle.dumps((1, (1, None, 5, 5)))),
    "a failure without an error": framed(pickle.dumps((1, (1, None, (False, 5), 5)))),
    "the death of the worker": framed(pickle.dumps((4, (os.getpid(), 0)))),
    "a class that is not there": framed(b"cno.such\nThing\n."),
    "a part": framed(bytes(20))[:10],
}


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_in_a_pipe(steps_of: Stepping, kind: str, dies: bool) -> None:
    """Its task is lost, and the next one runs."""
    steps_of.run(write, GARBAGE[kind], dies)
    steps_of.step_until(lambda: steps_of.ends)
    assert isinstance(steps_of.ends[0].exception.exc, WorkerLostError)
    steps_of.run(plain)
    steps_of.step_until(lambda: len(steps_of.ends) == 2)
    assert steps_of.ends[1] == plain()


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.booleans(),
        lambda inner: st.lists(inner).map(tuple),
    )
)
def test_anything_has_a_reason(message: Any) -> None:
    """No value leads to an error of the worker."""
    assert isinstance(problem(message, PID, INQUEUE), str)


def test_the_messages_of_the_pool_have_none() -> None:
    """As billiard and Celery write them."""
    good: list[Any] = [
        (15, (PID,)),
        (0, (1, None, 5.0, PID, None)),
        (1, (1, None, (True, (0, "x", 0.1)), INQUEUE)),
        (1, (1, None, (True, None), INQUEUE)),
        (4, (PID, 0)),
    ]
    try:
        raise ValueError
    except ValueError:
        good.append((1, (1, None, (False, ExceptionInfo()), INQUEUE)))
        good.append((1, (1, None, (True, (1, ExceptionInfo(), 0.1)), INQUEUE)))
        good.append((1, (1, None, (True, (1, ExceptionInfo(), None)), INQUEUE)))
    assert {problem(message, PID, INQUEUE) for message in good} == {""}


#: What a task may have written where another child's next task should begin.
POISON = {
    "a huge size": struct.pack(">i", 2**31 - 1),
    "a part of a size": b"\x7f\xff",
    "a size over what comes": struct.pack(">i", 100_000),
    "no pickle": framed(b"junk"),
    "a size below 0": struct.pack(">i", -5),
    "nothing": framed(pickle.dumps(None)),
    "zeros": bytes(100),
    "a pickle of another kind": framed(pickle.dumps([1, 2, 3])),
    "random": bytes(range(255, 0, -1)) * 100,
}


@pytest.mark.parametrize("read", [1, 4, 9])
def test_a_message_that_was_half_read(steps_of: Stepping, read: int) -> None:
    """The loop begins again in the middle of a message, as when the broker is lost.

    The next reader reads the rest.
    """
    handler: Any = steps_of.pool._result_handler
    heard: list[Any] = []
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    proc = SimpleNamespace(pid=PID, inqW_fd=INQUEUE, half_read=bytearray(), said=None)
    handler.fileno_to_outq = {**handler.fileno_to_outq, reader: proc}
    message = (ACK, (1, None, 1.0, PID, None))
    content = framed(pickle.dumps(message))
    for piece in (content[:read], content[read:]):
        os.write(writer, piece)
        reading = handler._recv_message(lambda *_: None, reader, heard.append)
        next(reading, None)
        reading.close()
    assert heard == [message]
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("kind", POISON)
def test_garbage_where_the_next_task_begins(
    steps_of: Stepping, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Both children that read it are ended, and each task runs once."""
    monkeypatch.setattr(stuck_children, "APART", 0.1)
    steps_of.hub.call_repeatedly(0.1, steps_of.pool.end_stuck)
    procs = list(steps_of.pool._pool)
    for proc in procs:
        os.write(proc.inqW_fd, POISON[kind])
    for _ in range(4):
        steps_of.run(plain)
    steps_of.step_until(lambda: len(steps_of.ends) == 4)
    assert steps_of.ends == [plain()] * 4
    assert not [proc for proc in procs if proc._is_alive()]


def test_a_word_that_somebody_has_read(steps_of: Stepping, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that waits for its next task while its worker waits for an end is ended.

    Its last task is lost.
    """
    pool = steps_of.pool
    job = pool.apply_async(plain, error_callback=steps_of.ends.append, lost_worker_timeout=0.1)
    steps_of.step_until(lambda: job._write_to and not pool._active_writes)
    proc, pipe = job._write_to, job._write_to.outqR_fd
    until(lambda: reads(proc.pid, proc.inq._reader.fileno()) and unread(pipe), what="the end")
    said = os.read(pipe, 65536)
    # it begins; nothing of the end
    os.write(proc.outq._writer.fileno(), said[: 4 + struct.unpack(">i", said[:4])[0]])
    steps_of.step_until(lambda: job._accepted)
    monkeypatch.setattr(stuck_children, "APART", 0.1)
    steps_of.hub.call_repeatedly(0.1, pool.end_stuck)
    steps_of.hub.call_repeatedly(0.1, pool.maintain_pool)
    steps_of.step_until(lambda: steps_of.ends)
    assert isinstance(steps_of.ends[0].exception.exc, WorkerLostError)
    assert not proc._is_alive()


def test_a_task_at_work_does_not_wait_for_the_next_one(steps_of: Stepping, tmp_path: Path) -> None:
    """Nor when it sleeps for long."""
    job = steps_of.run(nap, tmp_path / "go")
    steps_of.step_until(lambda: job._accepted)
    looks(steps_of, 20)
    (tmp_path / "go").touch()
    steps_of.step_until(lambda: steps_of.ends)


def nap(path: Path) -> tuple[int, int, float]:
    """Sleep until the file is there, as a task that waits for something does."""
    until(path.exists, what="the file")
    return plain()


def looks(steps_of: Stepping, wanted: int) -> None:
    """Let the pool look so many times, each a look of its own."""
    found: list[int] = []
    asked, real = [0], steps_of.pool._stuck.look

    def look(idle: Any, now: float) -> list[int]:
        asked[0] += 1
        found.extend(real(idle, asked[0] * stuck_children.APART))
        return []

    steps_of.pool._stuck.look = look
    while asked[0] < wanted:
        steps_of.pool.end_stuck()
        steps_of.step_until(lambda: True)
    assert not found


def test_a_stopped_child_is_not_taken_for_one_that_is_stuck(steps_of: Stepping) -> None:
    """It has its task in its pipe, and continues when somebody lets it."""
    for proc in steps_of.pool._pool:
        os.kill(proc.pid, signal.SIGSTOP)
    job = steps_of.run(plain)
    steps_of.step_until(lambda: job._write_to and not steps_of.pool._active_writes)
    looks(steps_of, 20)
    for proc in steps_of.pool._pool:
        os.kill(proc.pid, signal.SIGCONT)
    steps_of.step_until(lambda: steps_of.ends)
    assert steps_of.ends == [plain()]


def test_a_busy_child_with_a_task_in_its_pipe_is_not_taken_for_one_that_is_stuck(
    steps_of: Stepping, tmp_path: Path
) -> None:
    """The pool forgets a task when the broker goes away.

    Its child begins with it all the same, and so is busy.
    """
    forgotten = [steps_of.run(nap, tmp_path / "go") for _ in range(2)]
    steps_of.step_until(
        lambda: all(job._write_to for job in forgotten) and not steps_of.pool._active_writes
    )
    for job in forgotten:
        job.discard()
    steps_of.step_until(lambda: all(proc.said == ACK for proc in steps_of.pool._pool))
    steps_of.pool._busy_workers.clear()
    behind = steps_of.run(plain)
    steps_of.step_until(lambda: behind._write_to and not steps_of.pool._active_writes)
    looks(steps_of, 20)
    (tmp_path / "go").touch()
    steps_of.step_until(lambda: steps_of.ends)
    assert steps_of.ends == [plain()]


def test_a_worker_that_is_slow_to_write_does_not_take_its_child_for_one_that_is_stuck(
    steps_of: Stepping,
) -> None:
    """The child has read all that has come of its task, and waits for more."""
    for proc in steps_of.pool._pool:
        os.kill(proc.pid, signal.SIGSTOP)  # or it might read as fast as this process writes
    job = steps_of.run(len, "x" * 1_000_000)
    steps_of.step_until(lambda: job._write_to and steps_of.pool._active_writes)
    steps_of.pool.hub_remove(job._write_to.inq._writer)  # the rest is not written
    writer = job._writer()
    for proc in steps_of.pool._pool:
        os.kill(proc.pid, signal.SIGCONT)
    until(lambda: not unread(job._write_to.inqW_fd), what="the child to have read it")
    until(lambda: waits(job._write_to.pid), what="the child to wait")
    looks(steps_of, 20)
    steps_of.hub.add_writer(job._write_to.inqW_fd, writer)
    steps_of.step_until(lambda: steps_of.ends)


def test_looks_are_counted_for_each_task_and_not_for_each_call() -> None:
    """A child that has another task, or is not idle once, begins again.

    Two looks at one moment count as one.
    """
    stuck, now = stuck_children.StuckChildren(), 0.0
    for idle in ({7: 1}, {7: 1}, {7: 1}, {7: 1}, {}, {7: 1}, {7: 2}, {7: 2}, {7: 2}, {7: 2}):
        now += stuck_children.APART
        assert stuck.look(idle, now) == []
        assert stuck.look(idle, now) == []
    assert stuck.look({7: 2, 8: 3}, now + stuck_children.APART) == [7]
