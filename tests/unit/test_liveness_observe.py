"""The heartbeats of the programs: what is a silence, and when a daemon hangs."""

from __future__ import annotations

from collections.abc import Callable

from warren.config import Settings
from warren.status.heartbeat import Heartbeat
from warren.supervise.liveness.hung import silence_limit
from warren.supervise.liveness.observe import LONGEST_STEP, Observation, look
from warren.supervise.liveness.readiness import at_work
from warren.system.process import Process

Loaded = Callable[..., Settings]
PIDS = {"beat": 7}


def heartbeat(pid: int = 7, mark: float = 1.0, state: str = "ready") -> dict[str, Heartbeat]:
    return {"beat": Heartbeat("beat", Process(pid, 1), mark, 0.0, state, {}, (mark, 0))}


def test_a_heartbeat_that_stands_still_grows_silent() -> None:
    """Seconds count while the same beat is seen, and a new beat ends the silence."""
    seen = look({}, heartbeat(), PIDS, 1.0, True)
    assert seen["beat"].silence == 0.0
    seen = look(look(seen, heartbeat(), PIDS, 1.0, True), heartbeat(), PIDS, 1.5, True)
    assert seen["beat"].silence == 2.5
    assert look(seen, heartbeat(mark=2.0), PIDS, 1.0, True)["beat"].silence == 0.0


def test_a_heartbeat_that_was_only_touched_beats() -> None:
    """Where the run directory is full a beat can only touch its file: that is life as well."""
    seen = look({}, heartbeat(), PIDS, 1.0, True)
    touched = {"beat": Heartbeat("beat", Process(7, 1), 1.0, 0.0, "ready", {}, (1.0, 99))}
    assert look(seen, touched, PIDS, 1.0, True)["beat"].silence == 0.0


def test_a_heartbeat_of_another_process_counts_for_nothing() -> None:
    """What an earlier process of the program has left is no life of this one."""
    seen = look({}, heartbeat(pid=6), PIDS, 1.0, True)
    assert seen["beat"] == Observation(7, None, 0.0)
    assert look(seen, heartbeat(pid=6, mark=2.0), PIDS, 1.0, True)["beat"].silence == 1.0
    assert (
        look({"beat": Observation(6, None, 50.0)}, heartbeat(), PIDS, 1.0, True)["beat"].silence
        == 0.0
    )


def test_a_heartbeat_that_was_taken_away_is_remembered() -> None:
    """A daemon on its last steps has no heartbeat any more.

    The silence continues from its last heartbeat.
    """
    seen = look(look({}, heartbeat(), PIDS, 1.0, True), {}, PIDS, 1.0, True)
    assert (seen["beat"].state, seen["beat"].silence) == ("ready", 1.0)


def test_a_long_turn_is_no_evidence() -> None:
    """A laptop that slept for a night finds no heartbeat stale when it looks again.

    The same holds for a supervisord that was stopped.
    """
    seen = look(look({}, heartbeat(), PIDS, 1.0, True), heartbeat(), PIDS, 30_000.0, True)
    assert seen["beat"].silence == LONGEST_STEP


def test_no_silence_grows_where_heartbeats_cannot_be_written() -> None:
    """A run directory that takes no file says nothing of the daemons."""
    seen = look(look({}, heartbeat(), PIDS, 1.0, True), heartbeat(), PIDS, 1.0, False)
    assert seen["beat"].silence == 0.0


def test_a_program_without_a_process_is_not_looked_at() -> None:
    """A daemon that has ended has no heartbeat to be missed."""
    assert look({"beat": Observation(7)}, heartbeat(), {}, 1.0, True) == {}


def test_timeout_depends_on_what_the_heartbeat_says(loaded: Loaded) -> None:
    """A start has its own time, and an outage of the broker is not taken for a hang."""
    settings = loaded("[supervise]\nstart_timeout = 40s\nheartbeat_timeout = 20s\n[worker:a]\n")
    table = {
        "": 40.0,
        "starting": 40.0,
        "ready": 20.0,
        "standby": 20.0,
        "connecting": 60.0,
        "stopping": 60.0,
    }
    for state, expected in table.items():
        observation = Observation(7, heartbeat(state=state)["beat"] if state else None)
        assert silence_limit(observation, settings) == expected, state


def test_each_start_that_was_too_slow_doubles_the_time(loaded: Loaded) -> None:
    """A daemon that needs a little more than start_timeout is not ended again and again.

    Other daemons get no more time.
    """
    settings = loaded("[supervise]\nstart_timeout = 40s\n[worker:a]\n")
    assert [silence_limit(Observation(7), settings, tries) for tries in (0, 1, 2, 5, 50)] == [
        40.0,
        80.0,
        160.0,
        1280.0,
        1280.0,
    ]
    assert silence_limit(Observation(7, heartbeat()["beat"]), settings, 5) == 20.0


def test_a_slow_connection_is_no_hang(loaded: Loaded) -> None:
    """A longer connect_timeout gives a longer silence limit."""
    settings = loaded("[broker]\nurl = redis://localhost\nconnect_timeout = 30s\n[worker:a]\n")
    assert silence_limit(Observation(7, heartbeat()["beat"]), settings) == 65.0
    assert silence_limit(Observation(7, heartbeat(state="connecting")["beat"]), settings) == 90.0


def test_who_is_at_work(loaded: Loaded) -> None:
    """A program is ready when its heartbeat says so and is fresh.

    A beat that stands by is ready, one that connects is not.
    """
    settings = loaded("[worker:a]\n")
    assert at_work(Observation(7, heartbeat(state="standby")["beat"]), settings)
    assert not at_work(Observation(7, heartbeat(state="connecting")["beat"]), settings)
    assert not at_work(Observation(7, heartbeat()["beat"], 20.0), settings)
    assert not at_work(Observation(7), settings)
    assert not at_work(None, settings)
