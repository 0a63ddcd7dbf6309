"""Sends the tasks of what has ticked, and remembers each tick behind it: the acts of a beat that
leads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from celery import Celery
from celery.result import denied_join_result
from kombu.exceptions import ChannelError, OperationalError

from warren.beat.last_ticks import KnownTicks
from warren.beat.leader.leadership import Leader
from warren.beat.pending import OnWay, PendingAct, begun_behind, by_entry
from warren.beat.tell import tell_clock, tell_failed, tell_gap, tell_sent
from warren.beat.ticks import GRACE, due, last_tick, next_tick, pause, same_rule, task_id, trusted
from warren.broker.publish_timeout import NotTaken
from warren.broker.unroutable import NoRoute
from warren.config import ScheduleSettings, Settings
from warren.errors import Unavailable

#: Seconds at most that one turn sends, and between two turns.
STEP = 1.0
#: Ticks at most that are with the broker without its answer: that many are sent twice if the leader
#: is lost just then.
BATCH = 100
#: Removes results that have expired; Celery brings the task.
CLEANUP = ScheduleSettings(task="celery.backend_cleanup", cron="0 4 * * *")


class Sender:
    """The schedule's entries and the last tick of each that was taken care of (`ticks`, seconds
    since the epoch).
    """

    def __init__(
        self,
        settings: Settings,
        app: Celery,
        leader: Leader,
        ticks: dict[str, float],
        rounds: Mapping[str, int] | None = None,
    ) -> None:
        self.app = app
        self.leader = leader
        self.ticks = ticks
        #: As `Known` has them.
        self._rounds: dict[str, int] = dict(rounds or {})
        #: Entries whose last tick was told as missed, and not sent. Of those of a leader before
        #: that is not known.
        self._left_out: set[str] = set()
        #: Those whose last tick could not be sent, though the broker was there.
        self._failed: set[str] = set()
        #: Last ticks that lie ahead, and were told.
        self._ahead: dict[str, float] = {}
        #: Ticks whose sending has begun, also by a leader before: the broker may have them or not.
        self._begun: dict[str, tuple[float, ...]] = {}
        self._on_way: OnWay | None = None
        #: Whether the next leader would find other last ticks than these.
        self._unkept = False
        #: Those that are enabled, by name.
        self.entries: dict[str, ScheduleSettings] = {}
        self._zone = ZoneInfo("UTC")
        #: By entry its last tick and the one behind that.
        self._next: dict[str, tuple[float, float]] = {}
        self.take_up(settings)

    def take_up(self, settings: Settings) -> None:
        """Sends by these settings from here on.

        An entry that ticks by another rule now begins with the next tick of that.
        """
        before, self.entries = self.entries, self._entries(settings)
        zone, self._zone = self._zone, ZoneInfo(settings.app.timezone)
        self._name = settings.app.name
        self._on_way = None  # what was begun and has no answer is due again, under the same ids
        self._next.clear()
        for name, entry in before.items():
            now = self.entries.get(name)
            if now is None:
                # Enabled again, it begins with its next tick: what would have come due meanwhile
                # was not missed.
                self._unkept |= self.ticks.pop(name, None) is not None
            elif (
                name in self.ticks
                and not self._begun.get(name)
                and not same_rule(entry, zone, now, self._zone)
            ):
                # Its ticks before now never came due: they are neither missed nor made up for.
                self.ticks[name] = max(self.ticks[name], last_tick(now, time.time(), self._zone))
                self._unkept = True

    def _entries(self, settings: Settings) -> dict[str, ScheduleSettings]:
        """Return those that are enabled, by name."""
        entries = {name: entry for name, entry in settings.schedules.items() if entry.enabled}
        # As Celery's own beat does, for results that do not expire by themselves.
        own = {} if self.app.backend.supports_autoexpire else {CLEANUP.task: CLEANUP}
        return {**own, **entries}

    @property
    def known(self) -> KnownTicks:
        """The ticks as the next leader must know them."""
        return KnownTicks(self.ticks, self._begun, self._rounds)

    def begin(self, recalled: KnownTicks) -> None:
        """Goes on where the last leader was.

        An entry that none has seen begins with its next tick: nothing of it was missed.
        """
        now = time.time()
        if self._on_way is not None and not self._on_way.answers.stands:
            self._on_way = None  # no answer comes any more
        both = (recalled, self.known)
        for name, entry in self.entries.items():
            # What this beat sent itself counts too: the note of it may not have reached the next
            # leader's place (full disk). The newer round counts first: a tick of an older one may
            # be of a clock that was ahead.
            known = [
                (each.rounds.get(name, 0), each.last[name]) for each in both if name in each.last
            ]
            last = recalled.last.get(name)
            count, self.ticks[name] = (
                max(known) if known else (0, last_tick(entry, now, self._zone))
            )
            self._unkept |= last != self.ticks[name]
            if count:
                self._rounds[name] = count
        self._begun = begun_behind(self.ticks, recalled.begun, self._begun)

    def step(self) -> None:
        """Sends what is due, the oldest ticks first, for TURN at most. Raises Unavailable.

        Behind that the heartbeat beats and the leadership is asked for again; what is left is due
        at once.
        """
        end = time.monotonic() + STEP
        if self._unkept:
            # A successor would begin an entry that it does not know with its own next tick, and
            # pass over those until then.
            self.leader.keep(self.known)
            self._unkept = False
        if self._on_way is not None:
            self._finish(self._on_way)
        acts: list[PendingAct] = []
        for name in self._ticked():
            acts += self._due(name, self.entries[name])
            # the rest of the turn is for sending, or many entries would send none
            if time.monotonic() >= end - STEP / 2:
                break
        acts.sort(key=lambda act: (act.name in self._failed, act.tick, act.name))
        failed = set[str]()
        for first in range(0, len(acts), BATCH):
            self._send_together(acts[first : first + BATCH], end, failed)
            if time.monotonic() >= end:
                return

    def pause(self) -> float:
        """Seconds until the next tick that was not taken care of: one that came due during the turn
        is due at once.
        """
        ticks = [self._following(name, entry) for name, entry in self.entries.items()]
        return pause(ticks, time.time(), STEP)

    def _ticked(self) -> list[str]:
        """Return the entries that have a tick to take care of, the one that waits longest first:
        none is passed over for good.
        """
        now = time.time()
        for name, entry in self.entries.items():
            self._look_at_clock(name, entry, now)
        ticks = [(self._following(name, entry), name) for name, entry in self.entries.items()]
        return [name for tick, name in sorted(ticks) if tick <= now]

    def _following(self, name: str, entry: ScheduleSettings) -> float:
        """Return the first tick that was not taken care of.

        A cron line is not searched at each turn: there may be thousands.
        """
        last, known = self.ticks[name], self._next.get(name)
        if known is None or known[0] != last:
            known = self._next[name] = (last, next_tick(entry, last, self._zone))
        return known[1]

    def _due(self, name: str, entry: ScheduleSettings) -> list[PendingAct]:
        """What there is to do for the entry, the oldest tick first."""
        found = due(entry, self.ticks[name], time.time(), self._zone, self._begun.get(name, ()))
        acts = [PendingAct(tick, name, self._identity(name, tick), None) for tick in found.ticks]
        if found.gap is None:
            return acts
        made_up = self._identity(name, found.gap.newest) if found.gap.made_up else ""
        told = PendingAct(found.gap.newest, name, made_up, found.gap)
        return [*(act for act in acts if act.tick != told.tick), told]

    def _identity(self, name: str, tick: float) -> str:
        return task_id(self._name, name, tick, self._rounds.get(name, 0))

    def _look_at_clock(self, name: str, entry: ScheduleSettings, now: float) -> None:
        """Begins the entry again where a clock that was ahead has sent ticks to come; tells of
        that, or of waiting for one.
        """
        sent = self.ticks[name]
        if sent <= now + GRACE:
            return
        self.ticks[name] = trusted(entry, sent, now, self._zone, early=name not in self._left_out)
        if self.ticks[name] != sent:
            # Else a worker would drop each of them, and this beat's successor would take the same
            # ids for the same tasks.
            self._rounds[name] = self._rounds.get(name, 0) + 1
            self._begun.pop(name, None)
            consequence = (
                "ticks from now on are sent, also those that the wrong clock had sent: they are "
                "new tasks"
            )
        elif self._ahead.get(name) != sent:
            self._ahead[name] = sent
            consequence = "that tick and those before it are not sent again"
        else:
            return
        tell_clock(name, sent, now, consequence)

    def _send_together(self, acts: list[PendingAct], end: float, failed: set[str]) -> None:
        """Sends these, until `end` but one at least; waits for the answers once, and remembers
        them. Raises Unavailable.

        failed: entries of which one could not be sent in this turn. A later one, sent now, would
        have it forgotten.
        """
        on_way = OnWay(self.leader.batch(), [], set(), self._begun, failed)
        begun = begun_behind(self.ticks, self._begun, mine := by_entry(acts))
        if mine:
            # The next leader must know which ticks the broker may have: cut off behind the sending
            # nobody here can tell. What a leader before had begun, and is not among these, it must
            # still know, too.
            self.leader.keep(KnownTicks(self.ticks, begun, self._rounds))
        self._begun, self._on_way = begun, on_way
        try:
            with on_way.answers:
                for act in acts:
                    if act.name in on_way.failed:
                        continue
                    on_way.acts.append(act)
                    if act.identity:
                        self._send(act, on_way)
                    if time.monotonic() >= end:
                        break
        except Unavailable:
            self._on_way = None
            tell_sent(self._take_in(on_way), self.entries)
            raise
        self._finish(on_way)

    def _finish(self, on_way: OnWay) -> None:
        """Waits for the answers, then tells and remembers.

        Raises Unavailable; during an alarm the answers may still come.
        """
        failure: Unavailable | None = None
        try:
            if on_way.answers.stands:
                self.leader.wait(on_way.answers)
            for act in on_way.acts:
                if act.identity in on_way.answers.refused:
                    # that tells why, and the others did not wait for it
                    self._send(act, on_way, alone=True)
        except Unavailable as error:
            failure = error
        if not isinstance(failure, NotTaken):
            self._on_way = None
        done = self._take_in(on_way)
        try:
            if failure is not None:
                raise failure
            self.leader.keep(self.known)
        finally:
            tell_sent(done, self.entries)

    def _take_in(self, on_way: OnWay) -> list[PendingAct]:
        """Takes care of what is done, of each entry up to the first tick that is not. Returns what
        was sent of it.

        Of the others nobody knows whether the broker has them.
        """
        done, left, stopped = [], list[PendingAct](), set[str]()
        for act in on_way.acts:
            if act.name not in stopped and on_way.done(act):
                done.append(act)
                if act.gap is not None:
                    # before it is remembered: cut off in between it is told twice, not never
                    tell_gap(act, act.gap)
                self.ticks[act.name] = act.tick
                (
                    self._left_out.discard
                    if act.identity in on_way.answers.taken
                    else self._left_out.add
                )(act.name)
                self._failed.discard(act.name)
            else:
                left.append(act)
                stopped.add(act.name)
        on_way.acts, self._begun = left, begun_behind(self.ticks, on_way.before, by_entry(left))
        return [act for act in done if act.identity in on_way.answers.taken]

    def _send(self, act: PendingAct, on_way: OnWay, alone: bool = False) -> None:
        """Sends the tick's task, or leaves it out when it cannot be sent. Raises Unavailable.

        alone: the broker answers before this returns; else it may be told here of one that was sent
        before.
        """
        entry = self.entries[act.name]
        options = {**self.leader.options(), **({"queue": entry.queue} if entry.queue else {})}
        # Celery makes it of whatever the broker's connection raises
        try:
            # Nobody here reads the result. Celery would first subscribe to it: one more
            # subscription for each tick, and while the results' Redis is away 20 tries of a second
            # each, and no tick.
            with denied_join_result():
                self.app.tasks[entry.task].apply_async(
                    entry.args, entry.kwargs, task_id=act.identity, retry=False, **options
                )
            if alone:
                on_way.answers.taken.add(act.identity)
            else:
                on_way.answers.sent(act.identity)
        except ChannelError as error:
            if alone or isinstance(error, NoRoute):
                # this message reaches no queue; the broker itself is well
                self._leave_out(act, on_way, error)
            # The broker has closed the channel over this one or one before it: no answer comes, so
            # each is sent alone.
            else:
                on_way.answers.abandon_task()
                on_way.answers.refused.add(act.identity)
        except OperationalError as error:
            # it was this very connection: what else is sent over it may be half a message
            if alone or on_way.answers.broken:
                # else it is still the leader, and sends the same id next time
                if not isinstance(error, NotTaken):
                    self.leader.resign()
                raise Unavailable(f"entry {act.name}: {error or type(error).__name__}") from error
            self._ask(act, error)
            self._put_off(act, on_way, error)
        # Arguments that it does not take, or not JSON; its own code.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._ask(act, error)
            self._leave_out(act, on_way, error)

    def _ask(self, act: PendingAct, error: BaseException) -> None:
        """Asks the broker whether it is there, and this beat leads.

        Raises Unavailable: then the tick is not lost for that.
        """
        if not self.leader.lead():
            raise Unavailable(f"entry {act.name}: {error or type(error).__name__}") from error

    def _put_off(self, act: PendingAct, on_way: OnWay, error: Exception) -> None:
        """Takes the tick for sent or not: it is tried again, behind all others.

        Its own code may need a broker that is away.
        """
        if not on_way.failed:  # one line for many: a full disk refuses each
            tell_failed(act, error, "it is tried again")
        on_way.failed.add(act.name)
        self._failed.add(act.name)

    def _leave_out(self, act: PendingAct, on_way: OnWay, error: BaseException) -> None:
        """One entry that cannot be sent must not keep the others waiting, nor beat from living."""
        on_way.left_out.add(act.identity)
        tell_failed(act, error, "this tick is left out")
