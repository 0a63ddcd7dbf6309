"""The hearts of the programs: what is a silence, and when a daemon hangs."""

from __future__ import annotations

from collections.abc import Callable

from warren.config import Settings
from warren.status.heartbeat import Beat
from warren.supervise.liveness.observe import LONGEST_TURN, Sight, at_work, look, patience
from warren.system.process import Process

Loaded = Callable[..., Settings]
PIDS = {"beat": 7}


def beat(pid: int = 7, mark: float = 1.0, state: str = "ready") -> dict[str, Beat]:
    return {"beat": Beat("beat", Process(pid, 1), mark, 0.0, state, {}, (mark, 0))}


def test_a_heart_that_stands_still_grows_silent() -> None:
    """Seconds count while the same beat is seen, and a new beat ends the silence."""
    seen = look({}, beat(), PIDS, 1.0, True)
    assert seen["beat"].silence == 0.0
    seen = look(look(seen, beat(), PIDS, 1.0, True), beat(), PIDS, 1.5, True)
    assert seen["beat"].silence == 2.5
    assert look(seen, beat(mark=2.0), PIDS, 1.0, True)["beat"].silence == 0.0


def test_a_heart_that_was_only_touched_beats() -> None:
    """Where the run folder is full a beat can only touch its file: that is life as well."""
    seen = look({}, beat(), PIDS, 1.0, True)
    touched = {"beat": Beat("beat", Process(7, 1), 1.0, 0.0, "ready", {}, (1.0, 99))}
    assert look(seen, touched, PIDS, 1.0, True)["beat"].silence == 0.0


def test_a_heart_of_another_process_counts_for_nothing() -> None:
    """What an earlier process of the program has left is no life of this one."""
    seen = look({}, beat(pid=6), PIDS, 1.0, True)
    assert seen["beat"] == Sight(7, None, 0.0)
    assert look(seen, beat(pid=6, mark=2.0), PIDS, 1.0, True)["beat"].silence == 1.0
    assert look({"beat": Sight(6, None, 50.0)}, beat(), PIDS, 1.0, True)["beat"].silence == 0.0


def test_a_heart_that_was_taken_away_is_remembered() -> None:
    """A daemon on its last steps has no heart any more; the silence goes on from its last beat."""
    seen = look(look({}, beat(), PIDS, 1.0, True), {}, PIDS, 1.0, True)
    assert (seen["beat"].state, seen["beat"].silence) == ("ready", 1.0)


def test_a_long_turn_is_no_evidence() -> None:
    """A laptop that slept for a night, or a supervisord that was stopped, finds no heart stale when it looks again."""
    seen = look(look({}, beat(), PIDS, 1.0, True), beat(), PIDS, 30_000.0, True)
    assert seen["beat"].silence == LONGEST_TURN


def test_no_silence_grows_where_hearts_cannot_be_written() -> None:
    """A run folder that takes no file says nothing of the daemons."""
    seen = look(look({}, beat(), PIDS, 1.0, True), beat(), PIDS, 1.0, False)
    assert seen["beat"].silence == 0.0


def test_a_program_without_a_process_is_not_looked_at() -> None:
    """A daemon that has ended has no heart to be missed."""
    assert look({"beat": Sight(7)}, beat(), {}, 1.0, True) == {}


def test_patience_depends_on_what_the_heart_says(loaded: Loaded) -> None:
    """A start has its own time, and an outage of the broker is not taken for a hang."""
    settings = loaded("[supervise]\nstart_timeout = 40s\nheart_timeout = 20s\n[worker:a]\n")
    table = {
        "": 40.0,
        "starting": 40.0,
        "ready": 20.0,
        "standby": 20.0,
        "connecting": 60.0,
        "stopping": 60.0,
    }
    for state, expected in table.items():
        sight = Sight(7, beat(state=state)["beat"] if state else None)
        assert patience(sight, settings) == expected, state


def test_each_start_that_was_too_slow_doubles_the_time(loaded: Loaded) -> None:
    """A daemon that needs a little more than start_timeout is not ended at the same place for ever; others get no more time."""
    settings = loaded("[supervise]\nstart_timeout = 40s\n[worker:a]\n")
    assert [patience(Sight(7), settings, tries) for tries in (0, 1, 2, 5, 50)] == [40.0, 80.0, 160.0, 1280.0, 1280.0]
    assert patience(Sight(7, beat()["beat"]), settings, 5) == 20.0


def test_a_slow_connection_is_no_hang(loaded: Loaded) -> None:
    """Whoever lets an attempt to connect take long gets a patience that is longer."""
    settings = loaded("[broker]\nurl = redis://localhost\nconnect_timeout = 30s\n[worker:a]\n")
    assert patience(Sight(7, beat()["beat"]), settings) == 65.0
    assert patience(Sight(7, beat(state="connecting")["beat"]), settings) == 90.0


def test_who_is_at_work(loaded: Loaded) -> None:
    """A program is ready when its heart says so and is fresh; a beat that stands by is, one that connects is not."""
    settings = loaded("[worker:a]\n")
    assert at_work(Sight(7, beat(state="standby")["beat"]), settings)
    assert not at_work(Sight(7, beat(state="connecting")["beat"]), settings)
    assert not at_work(Sight(7, beat()["beat"], 20.0), settings)
    assert not at_work(Sight(7), settings)
    assert not at_work(None, settings)
