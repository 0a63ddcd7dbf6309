"""The acts of a beat that leads: it sends the tasks of due ticks, and remembers each tick."""

from __future__ import annotations

import time
from collections.abc import Mapping

from celery import Celery
from celery.result import denied_join_result
from kombu.exceptions import ChannelError, OperationalError

from warren.beat.last_ticks import KnownTicks
from warren.beat.leader.leader_interface import Leader
from warren.beat.pending import OnWay, PendingAct, begun_behind, by_entry
from warren.beat.schedule import Schedule
from warren.beat.tell import tell_failed, tell_gap, tell_sent
from warren.broker.publish_timeout import NotTaken
from warren.broker.unroutable import NoRoute
from warren.config import Settings
from warren.errors import Unavailable

#: Seconds at most that one step sends, and between two steps.
STEP = 1.0
#: Ticks at most that are with the broker without its answer: that many are sent twice if the leader
#: is lost just then.
BATCH = 100


class Sender:
    """What a beat sends as long as it leads.

    ticks: seconds since the epoch, by entry; rounds: as `KnownTicks` has them.
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
        self.schedule = Schedule(ticks, rounds)
        #: Entries whose last tick could not be sent, though the broker was there.
        self._failed: set[str] = set()
        self._on_way: OnWay | None = None
        self.take_up(settings)

    def take_up(self, settings: Settings) -> None:
        """Send by these settings from here on."""
        self._on_way = None  # what was begun and has no answer is due again, under the same ids
        self.schedule.take_up(settings, self.app)

    def begin(self, recalled: KnownTicks) -> None:
        """Continue where the last leader was."""
        if self._on_way is not None and not self._on_way.answers.stands:
            self._on_way = None  # no answer comes any more
        self.schedule.begin(recalled)

    def step(self) -> None:
        """Send what is due, the oldest ticks first, for STEP seconds at most. Raises Unavailable.

        After that the daemon writes its heartbeat and renews the leadership; what is left is due at
        once.
        """
        end = time.monotonic() + STEP
        if self.schedule.unkept:
            # A successor would begin an entry that it does not know with the next tick of its own
            # time, and pass over the ticks before.
            self.leader.keep(self.schedule.known)
            self.schedule.unkept = False
        if self._on_way is not None:
            self._finish(self._on_way)
        acts: list[PendingAct] = []
        for name in self.schedule.due_entries():
            acts += self.schedule.acts(name)
            # The rest of the step is for sending, or many entries would send nothing.
            if time.monotonic() >= end - STEP / 2:
                break
        acts.sort(key=lambda act: (act.name in self._failed, act.tick, act.name))
        failed = set[str]()
        for first in range(0, len(acts), BATCH):
            self._send_together(acts[first : first + BATCH], end, failed)
            if time.monotonic() >= end:
                return

    def pause(self) -> float:
        """Return the seconds until the next step, STEP at most."""
        return self.schedule.pause(STEP)

    def _send_together(self, acts: list[PendingAct], end: float, failed: set[str]) -> None:
        """Send these acts until `end`, but at least one; wait for the answers once, and remember
        them. Raises Unavailable.

        failed: entries of which a tick could not be sent in this step. If a later tick of such an
        entry were sent now, the earlier one would be forgotten.
        """
        on_way = OnWay(self.leader.batch(), [], set(), self.schedule.begun, failed)
        begun = begun_behind(self.schedule.ticks, self.schedule.begun, mine := by_entry(acts))
        if mine:
            # The next leader must know which ticks the broker may have: a beat that is killed after
            # the sending cannot tell. The next leader must also know what an earlier leader had
            # begun and is not among these.
            self.leader.keep(self.schedule.known_with(begun))
        self.schedule.begun, self._on_way = begun, on_way
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
            tell_sent(self._take_in(on_way), self.schedule.entries)
            raise
        self._finish(on_way)

    def _finish(self, on_way: OnWay) -> None:
        """Wait for the answers, then tell and remember what was sent.

        Raises Unavailable; during an alarm the answers may still come.
        """
        failure: Unavailable | None = None
        try:
            if on_way.answers.stands:
                self.leader.wait(on_way.answers)
            for act in on_way.acts:
                if act.identity in on_way.answers.refused:
                    # Sent alone it tells why, and the others did not wait for it.
                    self._send(act, on_way, alone=True)
        except Unavailable as error:
            failure = error
        if not isinstance(failure, NotTaken):
            self._on_way = None
        done = self._take_in(on_way)
        try:
            if failure is not None:
                raise failure
            self.leader.keep(self.schedule.known)
        finally:
            tell_sent(done, self.schedule.entries)

    def _take_in(self, on_way: OnWay) -> list[PendingAct]:
        """Note the acts that are done, of each entry up to the first act that is not.

        Returns the acts that were sent. Whether the broker has the others is not known.
        """
        done, left, stopped = [], list[PendingAct](), set[str]()
        for act in on_way.acts:
            if act.name not in stopped and on_way.done(act):
                done.append(act)
                if act.gap is not None:
                    # Before it is remembered: killed in between, the gap is told twice, not never.
                    tell_gap(act, act.gap)
                self.schedule.note_handled(act, taken=act.identity in on_way.answers.taken)
                self._failed.discard(act.name)
            else:
                left.append(act)
                stopped.add(act.name)
        on_way.acts = left
        self.schedule.begun = begun_behind(self.schedule.ticks, on_way.before, by_entry(left))
        return [act for act in done if act.identity in on_way.answers.taken]

    def _send(self, act: PendingAct, on_way: OnWay, alone: bool = False) -> None:
        """Send the tick's task, or leave it out when it cannot be sent. Raises Unavailable.

        alone: the broker answers before this returns; else an error here may be the answer to a
        task that was sent before.
        """
        entry = self.schedule.entries[act.name]
        options = {**self.leader.options(), **({"queue": entry.queue} if entry.queue else {})}
        try:
            # Beat does not read the result. Celery would first subscribe to it: one more
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
                # This message reaches no queue; the broker itself works.
                self._leave_out(act, on_way, error)
            else:
                # The broker has closed the channel because of this message or an earlier one: no
                # answer comes, so each is sent alone.
                on_way.answers.refuse_unanswered()
                on_way.answers.refused.add(act.identity)
        # Celery makes this error of any error of the broker's connection.
        except OperationalError as error:
            # It was the leader's connection: a message may have been sent in part.
            if alone or on_way.answers.broken:
                # After NotTaken it is still the leader, and sends the same id next time.
                if not isinstance(error, NotTaken):
                    self.leader.resign()
                raise Unavailable(f"entry {act.name}: {error or type(error).__name__}") from error
            self._ask(act, error)
            self._put_off(act, on_way, error)
        # Arguments that the task does not take, or that are not JSON; an error of its own code.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._ask(act, error)
            self._leave_out(act, on_way, error)

    def _ask(self, act: PendingAct, error: BaseException) -> None:
        """Ask the broker whether it is there, and this beat leads.

        Raises Unavailable if not: then the tick is not left out because of `error`.
        """
        if not self.leader.lead():
            raise Unavailable(f"entry {act.name}: {error or type(error).__name__}") from error

    def _put_off(self, act: PendingAct, on_way: OnWay, error: Exception) -> None:
        """Note that it is not known whether the tick was sent: it is tried again, after all others.

        The task's own code may need a broker that is away.
        """
        if not on_way.failed:  # One line for all of a step: a full disk refuses each tick.
            tell_failed(act, error, "it is tried again")
        on_way.failed.add(act.name)
        self._failed.add(act.name)

    def _leave_out(self, act: PendingAct, on_way: OnWay, error: BaseException) -> None:
        """Leave out a tick that cannot be sent: it must not stop the other entries, nor beat."""
        on_way.left_out.add(act.identity)
        tell_failed(act, error, "this tick is left out")
