"""When schedule entries tick.

The tests vary lengths, zones, days of a change of clocks, and steps of the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import accumulate, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from warren.beat.ticks import (
    AHEAD,
    COUNTED,
    GRACE,
    Due,
    Gap,
    due,
    last_tick,
    next_tick,
    pause,
    task_id,
    trusted,
)
from warren.config import ScheduleSettings

BERLIN = ZoneInfo("Europe/Berlin")
NOTHING = Due(None, ())
MISFIRES = st.sampled_from(["run", "skip"])
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
]
#: Midnight (UTC) before the clocks change somewhere of ZONES, and of days on which none does.
DAYS = [
    datetime(*day, tzinfo=UTC).timestamp()
    for day in ((2025, 3, 29), (2025, 10, 25), (2025, 11, 1), (2025, 3, 8), (2025, 4, 5))
]
#: Zones whose clocks change by an hour, by half of one, by two, and at midnight.
CHANGING = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Asia/Beirut",
    "America/Havana",
]
CRONS = [
    "* * * * *",
    "*/15 * * * *",
    "30 2 * * *",
    "0 0 * * *",
    "30 1 * * *",
    "0 2,3 * * *",
    "15 2 * * sun",
    "59 23 * * *",
    "0 12 1 * *",
]


@cache
def changes(zone: str) -> list[float]:
    """When the clocks of a zone change within some years (seconds since the epoch)."""
    hours = range(
        int(datetime(2023, 1, 1, tzinfo=UTC).timestamp()),
        int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()),
        1800,
    )
    place = ZoneInfo(zone)
    offsets = [datetime.fromtimestamp(hour, place).utcoffset() for hour in hours]
    return [
        float(hour)
        for hour, before, after in zip(hours[1:], offsets, offsets[1:], strict=False)
        if before != after
    ]


def entry(
    every: float | None = None, cron: str | None = None, misfire: str = "run"
) -> ScheduleSettings:
    """A schedule entry."""
    return ScheduleSettings.model_validate(
        {"task": "t", "every": every, "cron": cron, "misfire": misfire}
    )


@dataclass
class Sent:
    """What a beat has sent that looked at some times.

    It has also how late each tick was, and the gaps that it has logged.
    """

    ticks: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        """Ticks that were told as missed and not sent."""
        return sum(gap.ticks - gap.made_up for gap in self.gaps)


def sent_by(one: ScheduleSettings, clock: Iterable[float], sent: float, zone: ZoneInfo) -> Sent:
    """What a beat does that looks at these times."""
    found = Sent()
    for now in clock:
        plan = due(one, sent, now, zone)
        found.gaps += [plan.gap] if plan.gap else []
        found.ticks += plan.ticks
        found.late += [
            now - tick for tick in plan.ticks if not (plan.gap and plan.gap.newest == tick)
        ]
        sent = max([sent, *plan.ticks, *([plan.gap.newest] if plan.gap else [])])
    return found


def walk(
    one: ScheduleSettings, begin: float, end: float, zone: ZoneInfo, delays: list[float]
) -> Iterator[float]:
    """Yield the times at which beat's loop looks, late by `delays`.

    It looks at the next tick or half an hour later.
    """
    now, step = begin, 0
    while now < end:
        yield now
        now += pause([next_tick(one, now, zone)], now, 1800.0) + delays[step % len(delays)]
        step += 1


def ticks_between(one: ScheduleSettings, begin: float, end: float, zone: ZoneInfo) -> list[float]:
    """All ticks after `begin` and not after `end`, by looking forward only."""
    found: list[float] = []
    tick = next_tick(one, begin, zone)
    while tick <= end:
        found.append(tick)
        tick = next_tick(one, tick, zone)
    return found


@given(
    every=st.sampled_from([0.1, 0.3, 1.0, 7.0, 30.0, 3600.0, 86400.0]) | st.floats(0.1, 1e6),
    now=st.floats(1.6e9, 2.2e9),
)
def test_every(every: float, now: float) -> None:
    """Now lies between the last tick and the next, to the precision of a clock.

    The two are one length apart.
    """
    last, following = last_tick(entry(every), now, BERLIN), next_tick(entry(every), now, BERLIN)
    assert last <= now + 1e-6
    assert following >= now - 1e-6
    assert following - last == pytest.approx(every, abs=1e-5)
    assert last_tick(entry(every), last + every / 2, BERLIN) == last


@given(
    every=st.sampled_from([0.1, 0.3, 1.0, 7.0, 30.0, 3600.0]) | st.floats(0.1, 4000),
    begin=st.floats(1.6e9, 2.2e9),
    delays=st.lists(st.floats(1e-6, 0.05), min_size=1, max_size=5),
)
@settings(deadline=None)
def test_every_while_beat_runs(every: float, begin: float, delays: list[float]) -> None:
    """While beat runs each tick is sent once: none twice, none left out, each within its turn."""
    one, end = entry(every), begin + 20.5 * every
    found = sent_by(
        one, walk(one, begin, end, BERLIN, delays), last_tick(one, begin, BERLIN), BERLIN
    )
    assert 19 <= len(found.ticks) <= 21
    assert all(
        after - before == pytest.approx(every, abs=1e-5) for before, after in pairwise(found.ticks)
    )
    # Where `begin` is the very tick but for its rounding, the first look of the walk comes one tick
    # later.
    assert max(found.late[1:]) < 0.2
    assert not found.gaps


@given(
    cron=st.sampled_from(CRONS),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    day=st.sampled_from(DAYS),
    delays=st.lists(st.floats(0.001, 9.0), min_size=1, max_size=5),
)
@settings(deadline=None, max_examples=40)
def test_cron_while_beat_runs(cron: str, zone: ZoneInfo, day: float, delays: list[float]) -> None:
    """On days when the clocks change, too, each tick is sent once and in order.

    Beat runs meanwhile.
    """
    one, end = entry(cron=cron), day + 50 * 3600
    times = list(walk(one, day, end, zone, delays))
    found = sent_by(one, times, last_tick(one, day, zone), zone)
    assert found.ticks == ticks_between(one, day, times[-1], zone)
    assert not found.gaps


@given(
    cron=st.sampled_from([*CRONS, "15 0-23 * * *", "0 1-3 * * *", "30 0 * * *", "0 */2 * * *"]),
    zone=st.sampled_from(CHANGING),
    change=st.integers(0, 9),
    around=st.floats(-4 * 3600, 4 * 3600),
)
@example(
    cron="0 */2 * * *", zone="Australia/Lord_Howe", change=0, around=1799.0
)  # clocks change by half an hour
@settings(deadline=None, max_examples=400)
def test_ticks_do_not_depend_on_when_one_looks(
    cron: str, zone: str, change: int, around: float
) -> None:
    """Around each change of clocks all hosts agree, whenever they look.

    The next tick lies ahead, the last is the one before.
    """
    one, at, place = entry(cron=cron), changes(zone)[change % len(changes(zone))], ZoneInfo(zone)
    now = at + around
    ticks = ticks_between(one, at - 30 * 3600, at + 30 * 3600, place)
    assert ticks == sorted(set(ticks))
    following, last = next_tick(one, now, place), last_tick(one, now, place)
    assert last <= now < following
    assert following == min((tick for tick in ticks if tick > now), default=following)
    assert last == max((tick for tick in ticks if tick <= now), default=last)
    assert next_tick(one, last, place) == following
    assert last_tick(one, following, place) == following


@pytest.mark.parametrize(
    ("cron", "day", "sent"),
    [
        (
            "30 2 * * *",
            (2025, 3, 30),
            ["03:00+0200"],
        ),  # there is no 02:30 on that day: as Debian's cron, at once afterwards
        ("30 2 * * *", (2025, 10, 26), ["02:30+0200"]),  # 02:30 comes twice
        ("0,30 2 * * *", (2025, 10, 26), ["02:00+0200", "02:30+0200"]),
        (
            "0 * * * *",
            (2025, 10, 26),
            [f"{hour:02}:00+0200" for hour in range(3)]
            + [f"{hour:02}:00+0100" for hour in range(2, 24)],
        ),
    ],
)
def test_days_of_23_and_25_hours(cron: str, day: tuple[int, int, int], sent: list[str]) -> None:
    """A time that the day does not have is made up for; one that it has twice ticks once.

    An entry that ticks all day continues.
    """
    begin = datetime(*day, tzinfo=BERLIN).timestamp() - 1
    end = datetime(*day, 23, 59, tzinfo=BERLIN).timestamp()
    one = entry(cron=cron)
    found = sent_by(
        one, walk(one, begin, end, BERLIN, [7.0]), last_tick(one, begin, BERLIN), BERLIN
    )
    assert [
        datetime.fromtimestamp(tick, BERLIN).strftime("%H:%M%z") for tick in found.ticks
    ] == sent


@given(
    every=st.sampled_from([0.5, 1.0, 30.0, 3600.0]),
    steps=st.lists(st.floats(-7200, 7200) | st.floats(0.001, 1.0), min_size=5, max_size=60),
)
def test_a_clock_that_is_set(every: float, steps: list[float]) -> None:
    """However the clock is set, no tick is sent twice.

    Ticks continue once the clock passes the last one.
    """
    one, now = entry(every), 1.8e9
    times = [now := now + step for step in steps]
    ticks = sent_by(one, times, last_tick(one, 1.8e9, BERLIN), BERLIN).ticks
    assert ticks == sorted(set(ticks))
    assert (ticks or [last_tick(one, 1.8e9, BERLIN)])[-1] >= last_tick(one, max(times), BERLIN)


@pytest.mark.parametrize(("ahead", "ticks"), [(AHEAD - 100, 0), (AHEAD + 100, 1), (1e9, 1)])
def test_a_clock_that_was_far_ahead(ahead: float, ticks: int) -> None:
    """A clock that was ahead by more than AHEAD silences no entry.

    What is due from now on is sent.
    """
    one, now = entry(60.0), 1_800_000_030.0
    sent = trusted(one, now + ahead, now, BERLIN)
    found = due(one, sent, now + 60, BERLIN)
    assert len(found.ticks) == ticks
    assert due(one, sent, now, BERLIN) == NOTHING


@pytest.mark.parametrize(
    ("every", "ahead", "early", "waits"),
    [
        (86400.0, 7200.0, True, True),  # what ran early today does not run again
        (86400.0, 7200.0, False, False),  # it did not run
        (86400.0, 86400.0 + 7200, True, False),  # it is not the next one
        (900.0, 1700.0, True, False),  # that would leave out two
        (900.0, 800.0, True, True),
        (
            30 * 86400.0,
            20 * 86400.0,
            True,
            False,
        ),  # the clock was wrong by more than hours: it is better run twice than not
        (60.0, AHEAD - 1, True, True),
        (60.0, AHEAD + 61, True, False),
    ],
)
def test_a_tick_that_was_sent_early(every: float, ahead: float, early: bool, waits: bool) -> None:
    """After a clock that was ahead one tick at most is waited for, and only if it has run.

    Otherwise the entry begins again.
    """
    one, tick = entry(every), last_tick(entry(every), 1.8e9, BERLIN)
    now = tick - ahead + 1e-3
    assert trusted(one, tick, now, BERLIN, early) == (
        tick if waits else last_tick(one, now, BERLIN)
    )


@pytest.mark.parametrize(
    ("away", "misfire", "made_up", "ticks"),
    [
        (
            5.0,
            "run",
            None,
            [500.0],
        ),  # late by less than GRACE: it was not missed, the four before it were
        (5.0, "skip", None, [500.0]),
        (95.0, "run", True, []),
        (95.0, "skip", False, []),
    ],
)
def test_missed(away: float, misfire: str, made_up: bool | None, ticks: list[float]) -> None:
    """Of the ticks that came due while no beat led the newest counts.

    It does not if a newer one is sent; the entry's misfire decides.
    """
    one, first = entry(100.0, misfire=misfire), 1_800_000_000.0
    found = due(one, first, first + 500 + away, BERLIN)
    newest, missed = (400, 4) if ticks else (500, 5)
    sent = [*ticks, *([500.0] if made_up else [])]
    assert found == Due(
        Gap(missed, first + newest, bool(made_up), after=first),
        tuple(first + tick for tick in sent),
    )
    assert due(one, first + 500, first + 501 + away, BERLIN) == NOTHING


@given(
    one=st.one_of(
        st.builds(
            entry,
            every=st.sampled_from([0.1, 0.3, 1.0, 7.0, 30.0, 3600.0]) | st.floats(0.1, 4000),
            misfire=MISFIRES,
        ),
        st.builds(entry, cron=st.sampled_from(CRONS), misfire=MISFIRES),
    ),
    begin=st.floats(1.7e9, 1.8e9),
    breaks=st.lists(st.floats(0.001, 30.0) | st.floats(0.001, 90_000.0), min_size=1, max_size=8),
)
@settings(deadline=None, max_examples=200)
def test_each_tick_is_sent_or_told(
    one: ScheduleSettings, begin: float, breaks: list[float]
) -> None:
    """Ticks sent and ticks logged as missed are together the ticks that came due.

    This holds however long a beat was away or a step took.
    """
    times = list(accumulate(breaks, initial=begin))
    start = last_tick(one, begin, BERLIN)
    found = sent_by(one, times, start, BERLIN)
    newest = last_tick(one, times[-1], BERLIN)
    if one.every is not None:
        assert len(found.ticks) + found.left_out == round((newest - start) / one.every)
    elif all(gap.ticks < COUNTED for gap in found.gaps):
        assert len(found.ticks) + found.left_out == len(ticks_between(one, start, newest, BERLIN))
    assert found.ticks == sorted(set(found.ticks))
    assert all(0 <= late <= GRACE for late in found.late)
    assert one.misfire == "run" or not any(gap.made_up for gap in found.gaps)


@given(
    every=st.sampled_from([0.1, 0.3, 1.0, 7.0, 30.0]) | st.floats(0.1, 60),
    misfire=MISFIRES,
    away=st.integers(0, 300),
    first=st.integers(0, 20),
    begun=st.integers(1, 20),
    after=st.floats(0, 100),
)
@settings(deadline=None)
def test_a_tick_whose_sending_had_begun(
    every: float, misfire: str, away: int, first: int, begun: int, after: float
) -> None:
    """The tick is sent again however late, and then is not logged as missed.

    With `skip` it is logged, as one that may have been sent.
    """
    one, sent = entry(every, misfire=misfire), last_tick(entry(every), 1.8e9, BERLIN)
    ticks = ticks_between(one, sent, sent + (away + first + begun + 1) * every, BERLIN)
    unknown = ticks[first : first + begun]
    now = unknown[-1] + away * every + after
    found = due(one, sent, now, BERLIN, unknown)
    left_out = found.gap.ticks - found.gap.made_up if found.gap else 0
    unsure = found.gap.unsure if found.gap else 0
    assert list(found.ticks) == sorted(set(found.ticks))
    assert len(found.ticks) + left_out == len(
        ticks_between(one, sent, last_tick(one, now, BERLIN), BERLIN)
    )
    assert len(set(unknown) - set(found.ticks)) == unsure
    assert misfire == "skip" or unsure == 0


@given(
    every=st.sampled_from([1.0, 7.0, 3600.0]),
    misfire=MISFIRES,
    begun=st.lists(st.floats(0.001, 7000).map(lambda behind: 1.8e9 + behind), max_size=20),
    away=st.floats(0, 7300),
)
def test_what_another_rule_had_begun(
    every: float, misfire: str, begun: list[float], away: float
) -> None:
    """For an entry that was edited while no beat led, ticks are sent again or logged.

    They may be on the broker already. No count is negative.
    """
    one, now = entry(every, misfire=misfire), 1.8e9 + away
    found = due(one, 1.8e9, now, BERLIN, begun)
    gap = found.gap or Gap(0, 1.8e9, made_up=False)
    assert list(found.ticks) == sorted(set(found.ticks))
    assert gap.ticks >= gap.made_up
    seen = {tick for tick in begun if tick <= last_tick(one, now, BERLIN)}
    assert len(seen - set(found.ticks)) == gap.unsure
    assert misfire == "skip" or seen <= set(found.ticks)


def test_a_cron_line_that_was_away_for_a_year() -> None:
    """The ticks of `cron` are counted to a bound, so that heartbeats continue.

    Those of `every` are counted by one division.
    """
    now, year = 1.8e9 + 30, 366 * 86400.0
    assert due(entry(cron="* * * * *"), now - year, now, BERLIN).gap == Gap(
        COUNTED, 1.8e9, made_up=True, after=now - year
    )
    told = due(entry(0.1), now - year, now, BERLIN).gap
    assert told is not None
    assert told.ticks == pytest.approx(10 * (year - GRACE), abs=2)


@given(
    number=st.integers(10**9, 2**40), every=st.sampled_from([0.1, 0.3, 0.7]) | st.floats(0.1, 1e4)
)
def test_the_next_tick_of_a_tick_is_another(number: int, every: float) -> None:
    """A tick divided by its length may be a little less than its number."""
    tick = number * every
    assert next_tick(entry(every), tick, BERLIN) > tick


@given(now=st.floats(1.6e9, 2.2e9), every=st.floats(0.1, 1e5), longest=st.floats(0.1, 5.0))
def test_pause(now: float, every: float, longest: float) -> None:
    """Beat sleeps until the next tick, never below 0 and never longer than its step.

    Without entries it sleeps for its step.
    """
    ticks = [next_tick(entry(every), now, BERLIN)]
    assert 0.0 <= pause(ticks, now, longest) <= min(longest, every + 1e-5)
    assert pause([], now, longest) == longest
    assert pause([now - 5.0], now, longest) == 0.0


def test_task_ids() -> None:
    """App, entry, tick and round make the id: the same on every host, another for each of them."""
    assert task_id("shop", "a", 1.8e9) == task_id("shop", "a", 1.8e9)
    assert (
        len(
            {
                task_id("shop", "a", 1.8e9),
                task_id("shop", "b", 1.8e9),
                task_id("shap", "a", 1.8e9),
                task_id("shop", "a", 1.8e9 + 0.1),
                task_id("shop", "a", 1.8e9, 1),
                task_id("shop", "a", 1.8e9, 2),
            }
        )
        == 6
    )
